//! Values that are written as one scalar, and lists: read so that an error stands at the place where they are.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::WALL_MAX;

/// A list with at least one entry.
pub(super) struct NonEmpty<T>(pub(super) Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for NonEmpty<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(ListVisitor(PhantomData))
    }
}

struct ListVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ListVisitor<T> {
    type Value = NonEmpty<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<NonEmpty<T>, A::Error> {
        let mut list = Vec::new();
        while let Some(entry) = sequence.next_element()? {
            list.push(entry);
        }
        if list.is_empty() {
            Err(de::Error::custom("the list is empty: nothing would run"))
        } else {
            Ok(NonEmpty(list))
        }
    }
}

/// A map in which no key stands twice.
pub(super) struct Unique<K, V>(pub(super) Vec<(K, V)>);

impl<K, V> Default for Unique<K, V> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, K: Deserialize<'de> + PartialEq, V: Deserialize<'de>> Deserialize<'de> for Unique<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor(PhantomData))
    }
}

struct UniqueVisitor<K, V>(PhantomData<(K, V)>);

impl<'de, K: Deserialize<'de> + PartialEq, V: Deserialize<'de>> Visitor<'de> for UniqueVisitor<K, V> {
    type Value = Unique<K, V>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Unique<K, V>, A::Error> {
        let mut entries: Vec<(K, V)> = Vec::new();
        while let Some(key) = map.next_key()? {
            if entries.iter().any(|(known, _)| *known == key) {
                return Err(de::Error::custom("this key stands twice"));
            }
            entries.push((key, map.next_value()?));
        }
        Ok(Unique(entries))
    }
}

/// A whole number from 1 to `MAX`.
pub(super) struct Count<const MAX: u32>(pub(super) u32);

impl<'de, const MAX: u32> Deserialize<'de> for Count<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(CountVisitor)
    }
}

struct CountVisitor<const MAX: u32>;

impl<const MAX: u32> Visitor<'_> for CountVisitor<MAX> {
    type Value = Count<MAX>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a whole number from 1 to {MAX}")
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Count<MAX>, E> {
        match u32::try_from(number) {
            Ok(count) if (1..=MAX).contains(&count) => Ok(Count(count)),
            _ => Err(E::custom(format!("{number} is not between 1 and {MAX}"))),
        }
    }
}

/// A workload's size.
pub(super) struct Size(pub(super) u64);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_u64(SizeVisitor)
    }
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = Size;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a whole number from 0 to 2^64 - 1")
    }

    fn visit_u64<E: de::Error>(self, size: u64) -> Result<Size, E> {
        Ok(Size(size))
    }
}

/// Reads a scalar as text and makes a `T` of it. The error is raised while the reader still stands at the scalar: an
/// error made after `String::deserialize` would point at the start of the mapping.
pub(super) struct FromText<T>(pub(super) fn(&str) -> Result<T, String>);

impl<T> Visitor<'_> for FromText<T> {
    type Value = T;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.0)(text).map_err(E::custom)
    }
}

/// Implements `Deserialize` for types that are written as one scalar and read by their own `from_text`.
macro_rules! from_text {
    ($($type:ty),*) => {$(
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_str(FromText(<$type>::from_text))
            }
        }
    )*};
}

pub(super) use from_text;

from_text!(Wall, Bytes, AddressSpace, Percent);

/// Worded as serde words its own, so that one place finds the nearest name for both.
pub(super) fn unknown<'a>(what: &str, name: &str, valid: impl IntoIterator<Item = &'a str>) -> String {
    let valid: Vec<String> = valid.into_iter().map(|name| format!("`{name}`")).collect();
    format!("unknown {what} `{name}`, expected one of {}", valid.join(", "))
}

pub(super) struct Wall(pub(super) Duration);

impl Wall {
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(wall) if wall < Duration::from_millis(1) => Err("nothing could run in less than 1ms".to_owned()),
            Ok(wall) if wall > WALL_MAX => Err(format!("`{text}` is longer than a year: write `10s` or `500ms`")),
            Ok(wall) => Ok(Self(wall)),
            Err(error) => Err(format!("`{text}` is not a duration ({error}): write `10s` or `500ms`")),
        }
    }
}

pub(super) struct Bytes(pub(super) u64);

impl Bytes {
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) if size.0 > 0 => Ok(Self(size.0)),
            _ => Err(format!("`{text}` is not a size: write `64MiB` or `512KiB`")),
        }
    }
}

/// The most that a fact may be: a number, a size, or `any`.
pub(super) struct Budget(pub(super) Option<u64>);

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BudgetVisitor)
    }
}

struct BudgetVisitor;

impl Visitor<'_> for BudgetVisitor {
    type Value = Budget;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("the most that the fact may be: a whole number, a size such as `20KiB`, or `any`")
    }

    fn visit_u64<E: de::Error>(self, most: u64) -> Result<Budget, E> {
        Ok(Budget(Some(most)))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Budget, E> {
        match text.parse::<bytesize::ByteSize>() {
            _ if text == "any" => Ok(Budget(None)),
            Ok(size) => Ok(Budget(Some(size.0))),
            Err(_) => {
                Err(E::custom(format!("`{text}` is no budget: write a number, a size such as `20KiB`, or `any`")))
            }
        }
    }
}

/// Bytes of address space, which may be none.
pub(super) struct AddressSpace(pub(super) u64);

impl AddressSpace {
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        match text.parse::<bytesize::ByteSize>() {
            Ok(size) => Ok(Self(size.0)),
            Err(_) => Err(format!("`{text}` is not a size: write `4GiB`, `64KiB` or `0`")),
        }
    }
}

/// `3%` as 0.03.
pub(super) struct Percent(pub(super) f64);

impl Percent {
    pub(super) fn from_text(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
        match number {
            Some(percent) if (0.0..=1000.0).contains(&percent) => Ok(Self(percent / 100.0)),
            _ => Err(format!("`{text}` is not a percentage: write `3%`")),
        }
    }
}
