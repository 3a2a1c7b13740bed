//! What a kind of scenario has to say about its files: which keys are its own, and which cases it makes.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, Error, IgnoredAny, IntoDeserializer, MapAccess};
use serde::de::{Visitor, value::MapAccessDeserializer};

use wasiscope_model::kind::Named;

use super::diagnostic::Problem;
use super::engine::Program;
use super::{Engine, Expectation, Flavour, OwnGuest, Scenario, SizedWorkload};
use crate::plan::{Case, Input};

/// A kind of scenario. Its name is `kind: NAME` in a file, the key of the section with what is its own, and the kind in reports.
pub trait Kind: Named + fmt::Debug + Sync {
    /// Keys of its section that older files have at the top level.
    fn old_keys(&self) -> &'static [&'static str] {
        &[]
    }

    /// The only program whose engines its cases can run on; `None` when any can.
    fn program(&self) -> Option<&'static Program> {
        None
    }

    /// Reads its section, fills in what the file leaves out, and refuses what does not fit together.
    ///
    /// # Errors
    /// The key that is wrong, and why.
    fn read(&self, common: &mut Common, section: &Section<'_>) -> Result<Arc<dyn Plan>, Problem>;
}

/// Every kind there is.
pub type Kinds = &'static [&'static dyn Kind];

/// What a valid scenario of a kind makes.
pub trait Plan: fmt::Debug + Send + Sync {
    /// Its cases, in the order of the report.
    fn cases(&self, scenario: &Scenario) -> Vec<Case>;

    /// Pairs of cases that differ only in a check that the engine of the second makes.
    fn prices(&self, _scenario: &Scenario) -> Vec<(Case, Case)> {
        Vec::new()
    }

    /// The same with all that `--full` adds; `None` where it adds nothing.
    fn in_full(&self) -> Option<Arc<dyn Plan>> {
        None
    }
}

/// What scenarios of all kinds can say, where what a file leaves out is not yet filled in.
#[derive(Debug)]
pub struct Common {
    /// The guests that the scenario brings.
    pub own: Vec<OwnGuest>,
    /// What they are given.
    pub input: Input,
    /// The file with their standard input.
    pub stdin: Option<PathBuf>,
    /// The workloads.
    pub workloads: Option<Vec<SizedWorkload>>,
    /// The flavours.
    pub flavours: Option<Vec<Flavour>>,
    /// The engines.
    pub engines: Vec<Engine>,
    /// How every case is expected to end.
    pub expect: Expectation,
}

impl Common {
    /// The first key with something that only guests of a scenario's own are given.
    #[must_use]
    pub fn given(&self) -> Option<&'static str> {
        let Input { argv0, args, environment, directories, no_own_folder, invoke, start_first, stub_imports, .. } =
            &self.input;
        let keys = [
            ("argv0", argv0.is_some()),
            ("args", !args.is_empty()),
            ("env", !environment.is_empty()),
            ("dir", !directories.is_empty()),
            ("no_dir", *no_own_folder),
            ("stdin", self.stdin.is_some()),
            ("invoke", invoke.is_some()),
            ("start_first", *start_first),
            ("stub_imports", *stub_imports),
        ];
        keys.into_iter().find(|(_, is_there)| *is_there).map(|(key, _)| key)
    }

    /// Refuses what only guests of a scenario's own can have.
    ///
    /// # Errors
    /// The key, and why.
    pub fn expects_nothing(&self, kind: &dyn Kind) -> Result<(), Problem> {
        let expects = (self.expect != Expectation::default()).then_some("expect");
        let kind = kind.name();
        match self.given().or(expects) {
            Some(key) => Err(Problem::of_key(
                key,
                format!("`{key}` is not for scenarios of `kind: {kind}`: how their cases must end is known"),
            )),
            None => Ok(()),
        }
    }
}

impl Common {
    /// Refuses a guest of the scenario's own.
    ///
    /// # Errors
    /// When there is one.
    pub fn brings_no_guest(&self, kind: &dyn Kind) -> Result<(), Problem> {
        let kind = kind.name();
        let message =
            || format!("a scenario of `kind: {kind}` brings its own guests: leave out `wasm`, `cargo` and `command`");
        if !self.own.is_empty() { Err(Problem::of_key("kind", message())) } else { Ok(()) }
    }
}

/// The section of a file that belongs to its kind.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    text: &'a str,
    kind: &'static dyn Kind,
    /// The folder of the file: paths in it are relative to it.
    pub folder: &'a Path,
}

impl<'a> Section<'a> {
    pub(super) const fn new(text: &'a str, kind: &'static dyn Kind, folder: &'a Path) -> Self {
        Self { text, kind, folder }
    }

    /// The section as written; the default where the file has none.
    ///
    /// # Errors
    /// When it has other keys or values.
    pub fn read<T: DeserializeOwned + Default>(&self) -> Result<T, Problem> {
        let own = |key: &str| key == self.kind.name();
        let old = |key: &str| self.kind.old_keys().contains(&key);
        let section: Option<T> = only(self.text, &own, true)?;
        let at_top: Option<T> = only(self.text, &old, false)?;
        match (section, at_top) {
            (Some(_), Some(_)) => {
                let name = self.kind.name();
                let key = self.kind.old_keys().iter().find(|key| has_key(self.text, key)).copied().unwrap_or(name);
                Err(Problem::of_key(key, format!("`{key}` belongs into the section `{name}`, which is there, too")))
            }
            (section, at_top) => Ok(section.or(at_top).unwrap_or_default()),
        }
    }

    /// What to tell a user whose file is written as older versions wanted it.
    pub(super) fn warning(&self) -> Option<String> {
        let old: Vec<&str> = self.kind.old_keys().iter().copied().filter(|key| has_key(self.text, key)).collect();
        let name = self.kind.name();
        let keys = old.iter().map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
        let nested = old.iter().map(|key| format!("{key}: …")).collect::<Vec<_>>().join(", ");
        (!old.is_empty()).then(|| format!("{keys} at the top level is the old spelling: write `{name}: {{{nested}}}`"))
    }
}

/// Whether a file has such a key at its top level.
fn has_key(text: &str, key: &str) -> bool {
    let wanted = |name: &str| name == key;
    matches!(only::<std::collections::BTreeMap<String, IgnoredAny>>(text, &wanted, false), Ok(Some(_)))
}

/// The top level of a file as far as these keys go: their map, or with `inner` the value of the only one. `None` without any.
fn only<T: DeserializeOwned>(text: &str, wanted: &dyn Fn(&str) -> bool, inner: bool) -> Result<Option<T>, Problem> {
    struct Top<'a, T>(&'a dyn Fn(&str) -> bool, bool, std::marker::PhantomData<T>);

    impl<'de, T: DeserializeOwned> DeserializeSeed<'de> for Top<'_, T> {
        type Value = Option<T>;

        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
            deserializer.deserialize_map(self)
        }
    }

    impl<'de, T: DeserializeOwned> Visitor<'de> for Top<'_, T> {
        type Value = Option<T>;

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("a scenario: keys with values")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Option<T>, A::Error> {
            let wanted = |key: &str| (self.0)(key);
            let mut filtered = Filtered { map, wanted: &wanted, taken: 0 };
            if self.1 {
                let mut value = None;
                while let Some(key) = filtered.next_key::<String>()? {
                    if value.is_some() {
                        return Err(A::Error::custom(format!("duplicate field `{key}`")));
                    }
                    value = Some(filtered.next_value()?);
                }
                return Ok(value);
            }
            let value = T::deserialize(MapAccessDeserializer::new(&mut filtered))?;
            Ok((filtered.taken > 0).then_some(value))
        }
    }

    let deserializer = serde_yaml::Deserializer::from_str(text);
    Top(wanted, inner, std::marker::PhantomData).deserialize(deserializer).map_err(|error| Problem::of_yaml(&error))
}

/// Those entries of a map whose keys are wanted.
pub(super) struct Filtered<'a, A> {
    pub(super) map: A,
    pub(super) wanted: &'a dyn Fn(&str) -> bool,
    pub(super) taken: usize,
}

struct KeySeed<'a, K> {
    seed: K,
    wanted: &'a dyn Fn(&str) -> bool,
}

impl<'de, K: DeserializeSeed<'de>> DeserializeSeed<'de> for KeySeed<'_, K> {
    /// The key, or, where it is not wanted, what would have read it.
    type Value = Result<K::Value, K>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

/// The reader's own visit, so that what is wrong with a key is wrong at its place.
impl<'de, K: DeserializeSeed<'de>> Visitor<'de> for KeySeed<'_, K> {
    type Value = Result<K::Value, K>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        if (self.wanted)(key) { self.seed.deserialize(key.into_deserializer()).map(Ok) } else { Ok(Err(self.seed)) }
    }
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Filtered<'_, A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, mut seed: K) -> Result<Option<K::Value>, A::Error> {
        loop {
            match self.map.next_key_seed(KeySeed { seed, wanted: self.wanted })? {
                None => return Ok(None),
                Some(Ok(key)) => {
                    self.taken += 1;
                    return Ok(Some(key));
                }
                Some(Err(unused)) => {
                    self.map.next_value::<IgnoredAny>()?;
                    seed = unused;
                }
            }
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}
