//! Built guests by content: `guests/<key>/<workload>.wasm`, where the key is a hash of sources, lock file, toolchain
//! file and flags, and `manifest.json` says which compiler it was.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cargo::{self, Recipe};
use super::{Artifact, GuestError, hex};
use crate::places::Places;
use crate::scenario::Flavour;

/// What the store knows of one key.
#[derive(Serialize, Deserialize)]
struct Manifest {
    /// `rustc -vV`.
    toolchain: String,
    flags: String,
}

type Artifacts = BTreeMap<String, Artifact>;

pub(super) fn fetch_or_build(
    places: &Places,
    flavour: Flavour,
    workloads: &[&str],
    say: &mut dyn FnMut(&str),
) -> Result<Artifacts, GuestError> {
    let recipe = cargo::recipe(flavour);
    let folder = places.root.join(recipe.folder);
    let key = key(&places.root, &recipe)?;
    // A user without a toolchain can still use what another user built.
    let toolchain = cargo::toolchain(&folder);
    for state in [&places.state, &places.shared_state] {
        if let Some(found) = stored(&state.join("guests").join(&key), workloads, toolchain.as_deref()) {
            return Ok(found);
        }
    }
    cargo::ensure_target(&folder, recipe.target, say)?;
    say(&format!("building {} as {}", workloads.join(", "), flavour.name()));
    let target_dir = places.state.join("guest-build").join(flavour.name());
    let outputs = cargo::build(&places.root, &recipe, workloads, &target_dir)?;
    let manifest = Manifest {
        toolchain: toolchain.or_else(|| cargo::toolchain(&folder)).unwrap_or_default(),
        flags: cargo::flags(&recipe),
    };
    let entry = places.state.join("guests").join(&key);
    keep(&entry, &outputs, workloads, &manifest)
        .map_err(|reason| GuestError::Io { what: format!("storing guests in {}", entry.display()), reason })?;
    Ok(stored(&entry, workloads, None).unwrap_or_default())
}

/// The guests of an entry, if all are there and were made by this toolchain. A damaged entry is no entry.
fn stored(entry: &Path, workloads: &[&str], toolchain: Option<&str>) -> Option<Artifacts> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(entry.join("manifest.json")).ok()?).ok()?;
    if toolchain.is_some_and(|toolchain| toolchain != manifest.toolchain) {
        return None;
    }
    workloads
        .iter()
        .map(|workload| {
            let artifact = Artifact::of_file(&file(entry, workload)).ok()?;
            // Named by its own hash, so that a file which changed since is built again.
            let hash = fs::read_to_string(file(entry, workload).with_extension("sha256")).ok()?;
            (hash == artifact.sha256).then(|| {
                let artifact = Artifact {
                    toolchain: manifest.toolchain.lines().next().map(str::to_owned),
                    flags: Some(manifest.flags.clone()),
                    ..artifact
                };
                ((*workload).to_owned(), artifact)
            })
        })
        .collect()
}

fn keep(entry: &Path, outputs: &Path, workloads: &[&str], manifest: &Manifest) -> io::Result<()> {
    fs::create_dir_all(entry)?;
    for workload in workloads {
        let wasm = fs::read(outputs.join(format!("{workload}.wasm")))?;
        write_whole(&file(entry, workload), &wasm)?;
        let hash = hex(&Sha256::digest(&wasm));
        write_whole(&file(entry, workload).with_extension("sha256"), hash.as_bytes())?;
    }
    write_whole(&entry.join("manifest.json"), &serde_json::to_vec_pretty(manifest)?)
}

/// Another process may be reading or writing the same entry: a file appears whole or not at all.
fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, contents)?;
    // Readable by others: they may run what this user built.
    use std::os::unix::fs::PermissionsExt;
    file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
    file.persist(path)?;
    Ok(())
}

fn file(entry: &Path, workload: &str) -> PathBuf {
    entry.join(format!("{workload}.wasm"))
}

/// A hash of everything in the tree that can change what comes out.
fn key(root: &Path, recipe: &Recipe) -> Result<String, GuestError> {
    let mut files = Vec::new();
    for folder in [recipe.folder, "scenarios/workloads"] {
        collect(&root.join(folder), &mut files)
            .map_err(|reason| GuestError::Io { what: format!("reading {}", root.join(folder).display()), reason })?;
    }
    // The workloads inherit keys from the root manifest; the toolchain file selects the compiler.
    files.extend(["Cargo.toml", "rust-toolchain.toml"].map(|name| root.join(name)).into_iter().filter(|f| f.is_file()));
    files.sort();
    let mut hash = Sha256::new();
    hash.update(cargo::flags(recipe));
    hash.update(cargo::STABLE_RUSTC);
    for path in files {
        let contents =
            fs::read(&path).map_err(|reason| GuestError::Io { what: format!("reading {}", path.display()), reason })?;
        let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
        // Lengths keep two different trees from giving the same bytes.
        hash.update((name.len() as u64).to_le_bytes());
        hash.update(&name);
        hash.update((contents.len() as u64).to_le_bytes());
        hash.update(&contents);
    }
    Ok(hex(&hash.finalize())[..32].to_owned())
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_folder = entry.file_type()?.is_dir();
        if is_folder && entry.file_name() != "target" {
            collect(&entry.path(), files)?;
        } else if !is_folder {
            files.push(entry.path());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECIPE: Recipe = Recipe { folder: "guest", target: "wasm32-wasip1" };

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a folder");
        for folder in ["guest/src", "guest/target", "scenarios/workloads"] {
            fs::create_dir_all(root.path().join(folder)).expect("a folder");
        }
        fs::write(root.path().join("guest/src/main.rs"), "fn main() {}").expect("a file");
        root
    }

    #[test]
    fn the_key_changes_with_any_source_and_with_nothing_else() {
        let root = tree();
        let key = || key(root.path(), &RECIPE).expect("readable");
        let before = key();
        fs::write(root.path().join("guest/target/output"), "x").expect("a file");
        assert_eq!(key(), before, "what cargo leaves behind is no source");
        fs::write(root.path().join("guest/src/main.rs"), "fn main() { }").expect("a file");
        let after_source = key();
        assert_ne!(after_source, before);
        fs::write(root.path().join("rust-toolchain.toml"), "[toolchain]").expect("a file");
        assert_ne!(key(), after_source);
    }

    #[test]
    fn a_stored_guest_is_given_back_until_it_is_damaged_or_the_compiler_changes() {
        let root = tree();
        let (entry, outputs) = (root.path().join("entry"), root.path().join("guest/target"));
        fs::write(outputs.join("hello.wasm"), b"\0asm").expect("a file");
        let manifest = Manifest { toolchain: "rustc 1.95.0\nhost: here".to_owned(), flags: String::new() };
        keep(&entry, &outputs, &["hello"], &manifest).expect("writable");

        let found = stored(&entry, &["hello"], Some("rustc 1.95.0\nhost: here")).expect("it is there");
        assert_eq!(found["hello"].bytes, 4);
        assert_eq!(found["hello"].toolchain.as_deref(), Some("rustc 1.95.0"));
        assert!(stored(&entry, &["hello"], None).is_some(), "without a toolchain, any compiler's guest will do");
        assert!(stored(&entry, &["hello"], Some("rustc 1.96.0")).is_none());
        assert!(stored(&entry, &["hello", "sha256"], None).is_none());
        fs::write(entry.join("hello.wasm"), b"\0as").expect("a file");
        assert!(stored(&entry, &["hello"], None).is_none());
    }
}
