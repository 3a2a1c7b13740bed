//! Built guests by content: `guests/<key>/<workload>`, where the key is a hash of sources, lock file, toolchain file and
//! flags, and `<workload>.json` beside it says what it is and which compiler made it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::{Artifact, Builder, GuestError};
use crate::places::Places;

/// What the store knows of one guest.
#[derive(Serialize, Deserialize)]
struct Label {
    /// Name of the file beside it.
    file: String,
    /// Hash of that file, so that one which changed since is built again.
    sha256: String,
    /// The compiler, in as many lines as it says of itself.
    toolchain: String,
    flags: String,
}

type Artifacts = BTreeMap<String, Artifact>;

pub(super) fn fetch_or_build(
    places: &Places,
    builder: &dyn Builder,
    workloads: &[&str],
    say: &mut dyn FnMut(&str),
) -> Result<Artifacts, GuestError> {
    let key = key(&places.root, builder)?;
    // A user without a toolchain can still use what another user built.
    let toolchain = builder.toolchain(&places.root);
    let mut found = Artifacts::new();
    for state in [&places.state, &places.shared_state] {
        for workload in workloads {
            if let Some(artifact) = stored(&state.join("guests").join(&key), workload, toolchain.as_deref()) {
                found.entry((*workload).to_owned()).or_insert(artifact);
            }
        }
    }
    let missing: Vec<&str> = workloads.iter().copied().filter(|workload| !found.contains_key(*workload)).collect();
    if missing.is_empty() {
        return Ok(found);
    }
    let scratch = places.state.join("guest-build").join(builder.name());
    let outputs = builder.build(&places.root, &missing, &scratch, say)?;
    // A compiler that could not be asked before may be there now: building can install it.
    let toolchain = toolchain.or_else(|| builder.toolchain(&places.root)).unwrap_or_default();
    let entry = places.state.join("guests").join(&key);
    for (workload, output) in outputs {
        keep(&entry, &workload, &output, &toolchain, &builder.flags())
            .map_err(|reason| GuestError::Io { what: format!("storing {workload} in {}", entry.display()), reason })?;
        found.extend(stored(&entry, &workload, None).map(|artifact| (workload, artifact)));
    }
    Ok(found)
}

/// The guest of an entry, if it is there and was made by this toolchain. A damaged one is none.
fn stored(entry: &Path, workload: &str, toolchain: Option<&str>) -> Option<Artifact> {
    let label: Label = serde_json::from_slice(&fs::read(label_of(entry, workload)).ok()?).ok()?;
    if toolchain.is_some_and(|toolchain| toolchain != label.toolchain) {
        return None;
    }
    let artifact = Artifact::of_file(&entry.join(&label.file)).ok()?;
    (label.sha256 == artifact.sha256).then(|| Artifact {
        toolchain: label.toolchain.lines().next().map(str::to_owned),
        flags: Some(label.flags.clone()),
        ..artifact
    })
}

fn keep(entry: &Path, workload: &str, output: &Path, toolchain: &str, flags: &str) -> io::Result<()> {
    fs::create_dir_all(entry)?;
    let guest = fs::read(output)?;
    let file = output.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let executable = fs::metadata(output)?.permissions().mode() & 0o111 != 0;
    write_whole(&entry.join(&file), &guest, if executable { 0o755 } else { 0o644 })?;
    let label = Label {
        file,
        sha256: const_hex::encode(Sha256::digest(&guest)),
        toolchain: toolchain.to_owned(),
        flags: flags.to_owned(),
    };
    // Last, because it is what makes the guest count as stored.
    write_whole(&label_of(entry, workload), &serde_json::to_vec_pretty(&label)?, 0o644)
}

fn label_of(entry: &Path, workload: &str) -> PathBuf {
    entry.join(format!("{workload}.json"))
}

/// Another process may be reading or writing the same entry: a file appears whole or not at all. Readable by others:
/// they may run what this user built.
fn write_whole(path: &Path, contents: &[u8], mode: u32) -> io::Result<()> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, contents)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    file.persist(path)?;
    Ok(())
}

/// A hash of everything in the tree that can change what comes out.
fn key(root: &Path, builder: &dyn Builder) -> Result<String, GuestError> {
    let mut files = Vec::new();
    for source in builder.sources() {
        collect(&root.join(source), &mut files)
            .map_err(|reason| GuestError::Io { what: format!("reading {}", root.join(source).display()), reason })?;
    }
    files.sort();
    let mut hash = Sha256::new();
    hash.update(builder.flags());
    hash.update(builder.recipe());
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
    Ok(const_hex::encode(hash.finalize())[..32].to_owned())
}

/// Every file at or below `path`, if it is there. What cargo leaves behind is no source, and Go's guests, which lie
/// below those in Rust, are none of theirs.
fn collect(path: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    if path.is_file() {
        files.push(path.to_owned());
    }
    if !path.is_dir() {
        return Ok(());
    }
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_name() != "target" && entry.file_name() != "go" {
            collect(&entry.path(), files)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Builds nothing; its sources are the folder `guest` and a file.
    struct Nothing;

    impl Builder for Nothing {
        fn name(&self) -> &'static str {
            "nothing"
        }

        fn sources(&self) -> Vec<&'static str> {
            vec!["guest", "rust-toolchain.toml"]
        }

        fn flags(&self) -> String {
            "--none".to_owned()
        }

        fn has(&self, _: &Path, _: &str) -> bool {
            true
        }

        fn toolchain(&self, _: &Path) -> Option<String> {
            None
        }

        fn build(
            &self,
            _: &Path,
            _: &[&str],
            _: &Path,
            _: &mut dyn FnMut(&str),
        ) -> Result<BTreeMap<String, PathBuf>, GuestError> {
            Ok(BTreeMap::new())
        }
    }

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for folder in ["guest/src", "guest/target", "guest/go"] {
            fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        fs::write(root.path().join("guest/src/main.rs"), "fn main() {}").unwrap();
        root
    }

    #[test]
    fn the_key_changes_with_any_source_and_with_nothing_else() {
        let root = tree();
        let key = || key(root.path(), &Nothing).unwrap();
        let before = key();
        fs::write(root.path().join("guest/target/output"), "x").unwrap();
        fs::write(root.path().join("guest/go/main.go"), "x").unwrap();
        assert_eq!(key(), before);
        fs::write(root.path().join("guest/src/main.rs"), "fn main() { }").unwrap();
        let after_source = key();
        assert_ne!(after_source, before);
        fs::write(root.path().join("rust-toolchain.toml"), "[toolchain]").unwrap();
        assert_ne!(key(), after_source);
    }

    #[test]
    fn a_stored_guest_is_given_back_until_it_is_damaged_or_the_compiler_changes() {
        let root = tree();
        let (entry, output) = (root.path().join("entry"), root.path().join("hello.wasm"));
        fs::write(&output, b"\0asm").unwrap();
        keep(&entry, "hello", &output, "rustc 1.95.0\nhost: here", "--none").unwrap();

        let found = stored(&entry, "hello", Some("rustc 1.95.0\nhost: here")).unwrap();
        assert_eq!(found.bytes, 4);
        assert_eq!(found.toolchain.as_deref(), Some("rustc 1.95.0"));
        assert!(stored(&entry, "hello", None).is_some(), "without a toolchain, any compiler's guest will do");
        assert!(stored(&entry, "hello", Some("rustc 1.96.0")).is_none());
        assert!(stored(&entry, "sha256", None).is_none());
        fs::write(entry.join("hello.wasm"), b"\0as").unwrap();
        assert!(stored(&entry, "hello", None).is_none());
    }

    #[test]
    fn a_guest_of_the_old_compiler_is_not_taken_for_one_of_the_new() {
        let root = tree();
        let (entry, output) = (root.path().join("entry"), root.path().join("hello.wasm"));
        fs::write(&output, b"\0asm").unwrap();
        keep(&entry, "hello", &output, "old", "").unwrap();
        keep(&entry, "sha256", &output, "new", "").unwrap();
        assert!(stored(&entry, "hello", Some("new")).is_none());
    }
}
