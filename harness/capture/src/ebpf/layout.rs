//! Whether the metrics that kernel, host and guests share lie in the object where this side looks for them. An object that was built from other
//! sources would give figures that are wrong without looking so; it is refused before anything is attached.

use aya::maps::MapData;
use object::{Object, ObjectSection};
use wasiscope_ebpf_abi::{JOINT_ENTRIES, JOINT_FIELDS, JointMetrics};

use super::super::CaptureError;
use super::super::btf::Btf;
use super::{refused, with_causes};

/// The type, as the object's BTF calls it.
const TYPE: &str = "JointMetrics";

/// Compares the type in the object's BTF with the one that this was compiled with: its size, and where each field lies.
pub(super) fn check_types(object: &[u8]) -> Result<(), CaptureError> {
    let damaged = |error: &dyn std::error::Error| mismatch(&format!("the embedded BPF object: {}", with_causes(error)));
    let file = object::File::parse(object).map_err(|error| damaged(&error))?;
    let section = file.section_by_name(".BTF").ok_or_else(|| mismatch("the embedded BPF object has no BTF"))?;
    let data = section.data().map_err(|error| damaged(&error))?.to_vec();
    let btf = Btf::parse(data).map_err(|error| damaged(&error))?;
    let size = btf.size(TYPE).map_err(|error| damaged(&error))?;
    agree("bytes of the type", size, size_of::<JointMetrics>())?;
    for (field, expected) in JOINT_FIELDS {
        let found = btf.offset(TYPE, &[field]).map_err(|error| damaged(&error))?;
        agree(&format!("the place of {field}"), found, expected)?;
    }
    Ok(())
}

/// Compares what the kernel says of the map.
pub(super) fn check_map(map: &MapData) -> Result<(), CaptureError> {
    let info = map.info().map_err(refused)?;
    agree("bytes of a key", Some(info.key_size()), size_of::<u32>())?;
    agree("bytes of a value", Some(info.value_size()), size_of::<JointMetrics>())?;
    agree("entries", Some(info.max_entries()), JOINT_ENTRIES as usize)
}

fn agree(what: &str, found: Option<u32>, expected: usize) -> Result<(), CaptureError> {
    if found.and_then(|found| usize::try_from(found).ok()) == Some(expected) {
        return Ok(());
    }
    let found = found.map_or("none".to_owned(), |found| found.to_string());
    Err(mismatch(&format!("{what}: {found} in the object, {expected} here")))
}

fn mismatch(what: &str) -> CaptureError {
    CaptureError::Unavailable(format!(
        "the joint metrics do not lie where they are looked for ({what}): run ci/build-ebpf and build again"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::kernel::OBJECT;
    use super::*;

    #[test]
    fn the_object_and_this_side_agree() {
        check_types(OBJECT).unwrap();
    }

    #[test]
    fn another_layout_is_refused_and_says_what_differs() {
        // Two fields that have changed places: the same size, other meanings.
        let swap = |object: &[u8], one: &[u8], other: &[u8]| -> Vec<u8> {
            let mut changed = object.to_vec();
            let at = |name: &[u8]| object.windows(name.len()).position(|bytes| bytes == name).unwrap();
            // Names of one length, so that nothing else moves.
            changed[at(one)..][..one.len()].copy_from_slice(other);
            changed
        };
        let other = swap(OBJECT, b"\0wasm_exec_count\0", b"\0bpf_exec__count\0");
        let refusal = check_types(&other).unwrap_err().to_string();
        assert!(refusal.contains("the place of wasm_exec_count: none in the object, 16 here"), "{refusal}");
        assert!(check_types(b"no object").is_err());
    }
}
