//! The reference case: a fixed guest that every run interleaves with its own, so that reports of different times can be
//! compared by what it took in each.

use std::path::Path;

use wasiscope_workloads::{MARK_END, MARK_START};

use crate::runner::{InputFiles, Prepared};
use wasiscope_guest::guest::Artifact;
use wasiscope_scenario::Engine;
use wasiscope_scenario::plan::{Case, GuestSource};

const TEXT: &str = include_str!("reference.wat");
/// Its share of a run stays small.
const ITERATIONS: u32 = 10;

/// The reference case with its guest, written into `scratch`.
///
/// # Errors
/// When the file cannot be written.
pub fn prepare(scratch: &Path, processes: u32) -> anyhow::Result<Prepared> {
    let path = scratch.join("reference.wasm");
    std::fs::write(&path, assemble()?)?;
    let engine = Engine::usual();
    let guest = GuestSource::File(path.clone());
    let case =
        Case { processes, iterations: ITERATIONS, ..Case::of_guest("reference", "reference", "custom", engine, guest) };
    Ok(Prepared { guest: Ok(Artifact::of_file(&path)?), case, files: InputFiles::default(), watch: false })
}

fn assemble() -> Result<Vec<u8>, wat::Error> {
    let text = TEXT.replace("i64.const MARK_START", &format!("i64.const {MARK_START}"));
    wat::parse_str(text.replace("i64.const MARK_END", &format!("i64.const {MARK_END}")))
}

#[cfg(test)]
mod tests {
    use sha2::{Digest, Sha256};

    #[test]
    fn it_has_not_changed() {
        let hash = const_hex::encode(Sha256::digest(super::assemble().unwrap()));
        assert_eq!(
            hash, "99bf32ca11a3ef566a834d152748004e0fda3a07a16c1c66125b232573408a24",
            "reports made before and after this change cannot be compared by it"
        );
    }
}
