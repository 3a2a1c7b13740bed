//! What a scenario gives to its own guests, as written.

use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use super::super::diagnostic::Problem;
use super::{FromNameOrMap, NameOrMap};
use crate::plan::{Directory, Input, OWN_FOLDER};

/// The keys that say what a guest is given.
pub(super) struct WireInput {
    pub(super) argv0: Option<String>,
    pub(super) args: Vec<String>,
    pub(super) env: Environment,
    pub(super) dir: Directories,
    pub(super) no_dir: bool,
    pub(super) invoke: Option<String>,
    pub(super) start_first: bool,
    pub(super) stub_imports: bool,
}

impl WireInput {
    /// Paths are relative to `folder`.
    pub(super) fn input(self, folder: &Path) -> Result<Input, Problem> {
        if self.start_first && self.invoke.is_none() {
            let message = "`start_first` is for the function that `invoke` names".to_owned();
            return Err(Problem::of_key("start_first", message));
        }
        let values: Vec<&String> = self.env.0.iter().map(|(_, value)| value).collect();
        let texts =
            [("args", self.args.iter().collect()), ("argv0", self.argv0.iter().collect::<Vec<_>>()), ("env", values)];
        if let Some((key, _)) = texts.iter().find(|(_, texts)| texts.iter().any(|text| text.contains('\0'))) {
            return Err(Problem::of_key(key, "no argument and no variable has a NUL character in it".to_owned()));
        }
        let mut directories: Vec<Directory> = Vec::new();
        for Folder { host, guest, shared } in self.dir.0 {
            if directories.iter().any(|other| other.guest == guest) {
                let message = format!("two folders would be `{guest}` for the guest: write `HOST::GUEST`");
                return Err(Problem::of_key("dir", message));
            }
            directories.push(Directory { host: folder.join(host), guest, shared });
        }
        // It has the guest's first descriptor, as the folder has whose place it takes.
        directories.sort_by_key(|folder| folder.guest != OWN_FOLDER);
        Ok(Input {
            argv0: self.argv0,
            args: self.args,
            environment: self.env.0,
            directories,
            no_own_folder: self.no_dir,
            stdin: None,
            invoke: self.invoke,
            start_first: self.start_first,
            stub_imports: self.stub_imports,
        })
    }
}

/// Environment variables, in the order of the file.
#[derive(Default)]
pub(super) struct Environment(Vec<(String, String)>);

impl<'de> Deserialize<'de> for Environment {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(EnvironmentVisitor)
    }
}

struct EnvironmentVisitor;

impl<'de> Visitor<'de> for EnvironmentVisitor {
    type Value = Environment;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("environment variables: {NAME: value}")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Environment, A::Error> {
        let (mut variables, mut names) = (Vec::new(), BTreeSet::new());
        while let Some(name) = map.next_key::<String>()? {
            if name.is_empty() || name.contains(['=', '\0']) {
                return Err(de::Error::custom(format!("`{name}` cannot name an environment variable")));
            }
            if !names.insert(name.clone()) {
                return Err(de::Error::custom(format!("duplicate field `{name}`")));
            }
            variables.push((name, map.next_value::<Text>()?.0));
        }
        Ok(Environment(variables))
    }
}

/// Text; a number or a truth value is the text it is written as.
struct Text(String);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TextVisitor;

        impl Visitor<'_> for TextVisitor {
            type Value = Text;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text, E> {
                Ok(Text(text.to_owned()))
            }
        }
        // The reader gives a plain scalar as it is written when it is asked for text.
        deserializer.deserialize_str(TextVisitor)
    }
}

/// One folder, or several.
#[derive(Default)]
pub(super) struct Directories(Vec<Folder>);

#[derive(Clone)]
struct Folder {
    host: PathBuf,
    guest: String,
    shared: bool,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct FolderMap {
    host: String,
    guest: Option<String>,
    #[serde(default)]
    shared: bool,
}

impl FromNameOrMap for Folder {
    type Map = FolderMap;
    const EXPECTING: &'static str = "a folder: its path, `HOST::GUEST`, or {host: …, guest: …, shared: …}";

    fn from_name(text: &str) -> Result<Self, String> {
        let (host, guest) = text.split_once("::").unwrap_or((text, text));
        Self::from_map(FolderMap { host: host.to_owned(), guest: Some(guest.to_owned()), shared: false })
    }

    fn from_map(map: FolderMap) -> Result<Self, String> {
        let guest = map.guest.unwrap_or_else(|| map.host.clone());
        // `./data/` is `data` for a guest, and so is not told apart from it.
        let guest = match guest.trim_start_matches("./").trim_end_matches('/') {
            "" if guest.starts_with('.') => OWN_FOLDER.to_owned(),
            "" => guest,
            trimmed => trimmed.to_owned(),
        };
        if map.host.is_empty() || guest.is_empty() {
            return Err("a folder and its name for the guest cannot be empty: write `HOST` or `HOST::GUEST`".to_owned());
        }
        Ok(Self { host: map.host.into(), guest, shared: map.shared })
    }
}

impl<'de> Deserialize<'de> for Folder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrMap(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Directories {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DirectoriesVisitor)
    }
}

struct DirectoriesVisitor;

impl<'de> Visitor<'de> for DirectoriesVisitor {
    type Value = Directories;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}, or a list of them", Folder::EXPECTING)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Directories, E> {
        Folder::from_name(text).map(|folder| Directories(vec![folder])).map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Directories, A::Error> {
        let map = FolderMap::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Folder::from_map(map).map(|folder| Directories(vec![folder])).map_err(de::Error::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Directories, A::Error> {
        let mut folders = Vec::new();
        while let Some(folder) = sequence.next_element()? {
            folders.push(folder);
        }
        Ok(Directories(folders))
    }
}
