//! The keys `wasm`, `cargo` and `command` as written: one guest, or one for each flavour.

use std::fmt;
use std::marker::PhantomData;
use std::path::{Component, Path, PathBuf};

use serde::de::value::{MapAccessDeserializer, StringDeserializer};
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IntoDeserializer, MapAccess, Visitor};

use super::super::diagnostic::Problem;
use super::super::own::{CargoGuest, CommandGuest, NATIVE, OwnGuest, OwnSource};
use super::can_be_in_id;
use super::scalars::{FromText, from_text};

/// One of these, or one for each flavour.
pub(super) enum ByFlavour<T> {
    One(T),
    Several(Vec<(String, T)>),
}

/// A guest as written, which may stand alone or under the name of a flavour.
pub(super) trait Written: Sized + for<'de> Deserialize<'de> {
    /// Keys of one; none where it is a scalar.
    const KEYS: &'static [&'static str];
    const EXPECTING: &'static str;

    fn from_scalar(text: &str) -> Result<Self, String> {
        Err(format!("`{text}` is not {}", Self::EXPECTING))
    }
}

impl<'de, T: Written> Deserialize<'de> for ByFlavour<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ByFlavourVisitor(PhantomData))
    }
}

struct ByFlavourVisitor<T>(PhantomData<T>);

impl<'de, T: Written> Visitor<'de> for ByFlavourVisitor<T> {
    type Value = ByFlavour<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, or one for each flavour: {{no-std: …, std: …}}", T::EXPECTING)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        T::from_scalar(text).map(ByFlavour::One).map_err(E::custom)
    }

    /// A first key that is one of a single guest's decides.
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let Some(FlavourName(first)) = map.next_key()? else {
            return Err(A::Error::custom("there is no guest in it: nothing would run"));
        };
        if T::KEYS.contains(&first.as_str()) {
            let whole = WithFirst { first: Some(first), map };
            return T::deserialize(MapAccessDeserializer::new(whole)).map(ByFlavour::One);
        }
        let mut several: Vec<(String, T)> = Vec::new();
        let mut key = Some(first);
        while let Some(flavour) = key {
            if several.iter().any(|(known, _)| *known == flavour) {
                return Err(A::Error::custom(format!("flavour `{flavour}` is listed twice")));
            }
            several.push((flavour, map.next_value()?));
            key = map.next_key()?.map(|FlavourName(name)| name);
        }
        Ok(ByFlavour::Several(several))
    }
}

/// A name that can be a part of a case's id, as the keys of one guest can, too.
struct FlavourName(String);

from_text!(FlavourName);

impl FlavourName {
    fn from_text(text: &str) -> Result<Self, String> {
        if can_be_in_id(text) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` cannot be a flavour: it is a part of the case's id"))
        }
    }
}

/// A map whose first key has been read already.
struct WithFirst<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for WithFirst<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(first) => {
                let first: StringDeserializer<A::Error> = first.into_deserializer();
                seed.deserialize(first).map(Some)
            }
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// The path of a file whose name can be a part of an id.
pub(super) struct WirePath(PathBuf);

from_text!(WirePath);

impl WirePath {
    fn from_text(text: &str) -> Result<Self, String> {
        match Path::new(text).file_stem() {
            Some(_) => Ok(Self(text.into())),
            None => Err(format!("`{text}` cannot name a guest: it is the path of no file")),
        }
    }
}

impl Written for WirePath {
    const KEYS: &'static [&'static str] = &[];
    const EXPECTING: &'static str = "the path of a .wasm file";

    fn from_scalar(text: &str) -> Result<Self, String> {
        Self::from_text(text)
    }
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireCargo {
    dir: PathBuf,
    bin: String,
    #[serde(default = "default_target")]
    target: Target,
    #[serde(default = "default_profile")]
    profile: String,
}

impl Written for WireCargo {
    const KEYS: &'static [&'static str] = &["dir", "bin", "target", "profile"];
    const EXPECTING: &'static str = "a binary of a crate: {dir: …, bin: …}";
}

struct Target(String);

from_text!(Target);

impl Target {
    fn from_text(text: &str) -> Result<Self, String> {
        if text.starts_with("wasm") || text == NATIVE {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("`{text}` is no target of WebAssembly: write `wasm32-wasip1`, or `{NATIVE}` for this machine"))
        }
    }
}

fn default_target() -> Target {
    Target("wasm32-wasip1".to_owned())
}

fn default_profile() -> String {
    "release".to_owned()
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WireCommand {
    build: String,
    out: PathBuf,
    #[serde(default)]
    dir: PathBuf,
}

impl Written for WireCommand {
    const KEYS: &'static [&'static str] = &["build", "out", "dir"];
    const EXPECTING: &'static str = "a command and what it leaves: {build: …, out: …}";
}

/// The three keys.
pub(super) struct WireOwn {
    pub(super) wasm: Option<ByFlavour<WirePath>>,
    pub(super) cargo: Option<ByFlavour<WireCargo>>,
    pub(super) command: Option<ByFlavour<WireCommand>>,
}

/// One guest, or several of which each has a flavour.
enum Found {
    Nothing,
    One(&'static str),
    Several,
}

impl WireOwn {
    /// Every guest, in the order of the file within each key; paths are relative to `folder`.
    pub(super) fn guests(self, folder: &Path) -> Result<Vec<OwnGuest>, Problem> {
        let mut guests = Vec::new();
        let mut found = Found::Nothing;
        let wasm = |path: WirePath| OwnSource::Wasm(folder.join(path.0));
        let cargo = |WireCargo { dir, bin, target, profile }: WireCargo| {
            OwnSource::Cargo(CargoGuest { dir: folder.join(dir), bin, target: target.0, profile })
        };
        let command = |WireCommand { build, out, dir }: WireCommand| {
            // A `.` only fills messages; where nothing else is left, it is the folder.
            let dir: PathBuf = folder.join(dir).components().filter(|part| *part != Component::CurDir).collect();
            let dir = if dir.as_os_str().is_empty() { PathBuf::from(".") } else { dir };
            OwnSource::Command(CommandGuest { build, out: dir.join(out), dir })
        };
        add("wasm", self.wasm, &wasm, &mut guests, &mut found)?;
        add("cargo", self.cargo, &cargo, &mut guests, &mut found)?;
        add("command", self.command, &command, &mut guests, &mut found)?;
        Ok(guests)
    }
}

fn add<T>(
    key: &'static str,
    written: Option<ByFlavour<T>>,
    source: &dyn Fn(T) -> OwnSource,
    guests: &mut Vec<OwnGuest>,
    found: &mut Found,
) -> Result<(), Problem> {
    match (written, &*found) {
        (None, _) => return Ok(()),
        (Some(ByFlavour::One(one)), Found::Nothing) => {
            let guest = OwnGuest { flavour: None, source: source(one) };
            let name = guest.name();
            if !can_be_in_id(&name) {
                let message = format!("`{name}` cannot name a guest: it is a part of the case's id");
                return Err(Problem::of_key(key, message));
            }
            guests.push(guest);
            *found = Found::One(key);
        }
        (Some(ByFlavour::Several(several)), Found::Nothing | Found::Several) => {
            for (flavour, one) in several {
                if guests.iter().any(|guest: &OwnGuest| guest.flavour.as_deref() == Some(&flavour)) {
                    return Err(Problem::of_key(key, format!("flavour `{flavour}` is listed twice")));
                }
                guests.push(OwnGuest { flavour: Some(flavour), source: source(one) });
            }
            *found = Found::Several;
        }
        (Some(_), Found::One(other)) => {
            let message = format!("`{other}` is a guest already: give each a flavour, as in `{other}: {{std: …}}`");
            return Err(Problem::of_key(key, message));
        }
        (Some(ByFlavour::One(_)), Found::Several) => {
            let message = format!("the other guests have flavours: give this one its own, as in `{key}: {{std: …}}`");
            return Err(Problem::of_key(key, message));
        }
    }
    Ok(())
}
