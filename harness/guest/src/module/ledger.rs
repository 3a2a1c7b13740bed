//! The size ledger: where the bytes of a module are.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};
use std::io::Write as _;
use std::ops::Range;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use wasmparser::{ExternalKind, KnownCustom, MemoryType, Name, Parser, Payload, TypeRef};

use super::{ModuleError, invalid};
use wasiscope_model::record::Facts;

/// How many of the largest functions are named.
const LARGEST: usize = 10;

/// What one pass over the module gathers.
#[derive(Default)]
struct Ledger {
    /// Bytes of the contents of all sections of a kind.
    sections: BTreeMap<&'static str, usize>,
    /// Bytes of custom sections with their heads.
    custom_bytes: usize,
    imports: Vec<String>,
    imported_functions: u32,
    exports: Vec<String>,
    /// Bytes of each function's body, in order.
    bodies: Vec<usize>,
    names: BTreeMap<u32, String>,
    data_segments: u32,
    memory: Option<MemoryType>,
    table_elements: Option<u64>,
}

/// The facts that a module's bytes alone tell.
///
/// `size.wasm` is the sum of all `size.section.*` (contents, as `wasm-objdump -h` counts them) and `size.framing` (the
/// header and each section's own head).
///
/// # Errors
/// When the bytes are not a module.
pub fn facts(wasm: &[u8]) -> Result<Facts, ModuleError> {
    super::check_format(wasm)?;
    let mut ledger = Ledger::default();
    let mut section_start = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        if let Payload::Version { range, .. } = &payload {
            section_start = range.end;
        }
        ledger.read(&payload)?;
        if let Some((name, contents)) = section(&payload) {
            *ledger.sections.entry(name).or_default() += contents.len();
            if name == "custom" {
                ledger.custom_bytes += contents.end - section_start;
            }
            section_start = contents.end;
        }
    }
    Ok(ledger.into_facts(wasm))
}

/// Whether a fact of this name is one of [`facts`]: all cases of a guest share it, whatever runs it.
#[must_use]
pub fn is_fact(name: &str) -> bool {
    const OTHERS: [&str; 6] =
        ["imports", "exports", "table.elements", "memory.initial_pages", "memory.maximum_pages", "memory.page_bytes"];
    ["size.", "functions.", "data."].iter().any(|prefix| name.starts_with(prefix)) || OTHERS.contains(&name)
}

impl Ledger {
    fn read(&mut self, payload: &Payload<'_>) -> Result<(), ModuleError> {
        match payload {
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    let import = import.map_err(invalid)?;
                    self.imports.push(format!("{}.{}", import.module, import.name));
                    match import.ty {
                        TypeRef::Func(_) | TypeRef::FuncExact(_) => self.imported_functions += 1,
                        TypeRef::Memory(memory) => _ = self.memory.get_or_insert(memory),
                        TypeRef::Table(table) => _ = self.table_elements.get_or_insert(table.initial),
                        _ => {}
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for memory in memories.clone() {
                    self.memory.get_or_insert(memory.map_err(invalid)?);
                }
            }
            Payload::TableSection(tables) => {
                for table in tables.clone() {
                    self.table_elements.get_or_insert(table.map_err(invalid)?.ty.initial);
                }
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    let export = export.map_err(invalid)?;
                    let kind = if export.kind == ExternalKind::Func { "()" } else { "" };
                    self.exports.push(format!("{}{kind}", export.name));
                }
            }
            Payload::DataSection(data) => self.data_segments = data.count(),
            Payload::CodeSectionEntry(body) => self.bodies.push(body.range().len()),
            Payload::CustomSection(custom) => {
                if let KnownCustom::Name(names) = custom.as_known() {
                    self.read_names(names);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A damaged name section is no reason to refuse a module: engines ignore it too.
    fn read_names(&mut self, names: wasmparser::NameSectionReader<'_>) {
        for subsection in names.into_iter().map_while(Result::ok) {
            if let Name::Function(functions) = subsection {
                let named = functions.into_iter().map_while(Result::ok);
                self.names.extend(named.map(|naming| (naming.index, naming.name.to_owned())));
            }
        }
    }

    fn into_facts(self, wasm: &[u8]) -> Facts {
        let framing = wasm.len() - self.sections.values().sum::<usize>();
        let (largest, by_crate) = (self.largest(), self.bytes_by_crate());
        let mut facts = Facts::from([
            ("size.wasm".to_owned(), json!(wasm.len())),
            ("size.stripped".to_owned(), json!(wasm.len() - self.custom_bytes)),
            ("size.gzip".to_owned(), json!(gzipped(wasm))),
            ("size.zstd".to_owned(), json!(zstandard(wasm))),
            ("size.framing".to_owned(), json!(framing)),
            ("memory.initial_pages".to_owned(), json!(self.memory.map(|memory| memory.initial))),
            ("memory.maximum_pages".to_owned(), json!(self.memory.and_then(|memory| memory.maximum))),
            ("table.elements".to_owned(), json!(self.table_elements)),
            ("functions.count".to_owned(), json!(self.bodies.len())),
            ("functions.largest".to_owned(), largest),
            ("data.segments".to_owned(), json!(self.data_segments)),
            ("imports".to_owned(), json!(self.imports)),
            ("exports".to_owned(), json!(self.exports)),
        ]);
        // Only where they are not the usual 64 KiB.
        if let Some(log2) = self.memory.and_then(|memory| memory.page_size_log2) {
            facts.insert("memory.page_bytes".to_owned(), json!(1_u64 << log2.min(63)));
        }
        facts.extend(by_crate.map(|by_crate| ("size.by_crate".to_owned(), by_crate)));
        facts.extend(self.sections.into_iter().map(|(name, size)| (format!("size.section.{name}"), json!(size))));
        facts
    }

    fn bodies_by_index(&self) -> impl Iterator<Item = (u32, usize)> {
        (self.imported_functions..).zip(self.bodies.iter().copied())
    }

    fn largest(&self) -> Value {
        let mut bodies: Vec<(u32, usize)> = self.bodies_by_index().collect();
        bodies.sort_by_key(|(index, bytes)| (std::cmp::Reverse(*bytes), *index));
        let entry = |(index, bytes): &(u32, usize)| {
            let name = self.names.get(index).map_or_else(|| format!("function {index}"), |name| readable(name));
            json!({"name": name, "bytes": bytes})
        };
        bodies.iter().take(LARGEST).map(entry).collect()
    }

    /// Bytes of code by the crate that a Rust name begins with; `None` for a module without names.
    fn bytes_by_crate(&self) -> Option<Value> {
        if self.names.is_empty() {
            return None;
        }
        let mut crates: BTreeMap<String, usize> = BTreeMap::new();
        for (index, bytes) in self.bodies_by_index() {
            let name = self.names.get(&index).map(|name| crate_of(&readable(name))).unwrap_or_default();
            *crates.entry(name).or_default() += bytes;
        }
        Some(json!(crates))
    }
}

/// Most bytes of a name.
const NAME_BYTES: usize = 1_000;

/// A symbol as its author wrote it, cut off where it is too long: symbols refer back to parts of themselves, so a hundred bytes can stand for a megabyte.
fn readable(symbol: &str) -> String {
    let mut name = Bounded(String::new());
    // It refuses more than there is room for, which is no error here.
    let _ = write!(name, "{:#}", rustc_demangle::demangle(symbol));
    name.0
}

struct Bounded(String);

impl fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let room = NAME_BYTES - self.0.len();
        self.0.push_str(&text[..text.floor_char_boundary(room)]);
        if text.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

/// The first path segment: `core` of `core::fmt::write`, and of `<core::fmt::Error as core::fmt::Debug>::fmt`. What has no
/// path, C or Go for one, is under `(other)`.
fn crate_of(name: &str) -> String {
    let path =
        name.trim_start_matches(['<', '&', '[', '(', '*', ' ']).trim_start_matches("mut ").trim_start_matches("dyn ");
    match path.split_once("::") {
        Some((first, _)) if !first.is_empty() && first.chars().all(|c| c.is_alphanumeric() || c == '_') => {
            first.to_owned()
        }
        _ => "(other)".to_owned(),
    }
}

/// The name and the contents' range of a section, in the words of the specification.
fn section(payload: &Payload<'_>) -> Option<(&'static str, Range<usize>)> {
    Some(match payload {
        Payload::TypeSection(reader) => ("type", reader.range()),
        Payload::ImportSection(reader) => ("import", reader.range()),
        Payload::FunctionSection(reader) => ("function", reader.range()),
        Payload::TableSection(reader) => ("table", reader.range()),
        Payload::MemorySection(reader) => ("memory", reader.range()),
        Payload::TagSection(reader) => ("tag", reader.range()),
        Payload::GlobalSection(reader) => ("global", reader.range()),
        Payload::ExportSection(reader) => ("export", reader.range()),
        Payload::StartSection { range, .. } => ("start", range.clone()),
        Payload::ElementSection(reader) => ("element", reader.range()),
        Payload::DataCountSection { range, .. } => ("data_count", range.clone()),
        Payload::DataSection(reader) => ("data", reader.range()),
        Payload::CodeSectionStart { range, .. } => ("code", range.clone()),
        Payload::CustomSection(reader) => ("custom", reader.range()),
        _ => return None,
    })
}

/// Bytes after `gzip -9`, which is what a web server or a registry would send.
fn gzipped(wasm: &[u8]) -> usize {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing into memory cannot fail.
    encoder.write_all(wasm).and_then(|()| encoder.finish()).map_or(0, |compressed| compressed.len())
}

/// Bytes after `zstd -19`.
fn zstandard(wasm: &[u8]) -> Option<usize> {
    zstd::bulk::compress(wasm, 19).ok().map(|compressed| compressed.len())
}

#[cfg(test)]
mod tests {
    use super::super::tests::{COMMAND, assemble};
    use super::*;

    #[test]
    fn sections_and_framing_add_up_to_the_file() {
        let wasm = assemble(COMMAND);
        let facts = facts(&wasm).expect("a module");
        let sum: u64 = facts
            .iter()
            .filter(|(name, _)| name.starts_with("size.section.") || *name == "size.framing")
            .filter_map(|(_, value)| value.as_u64())
            .sum();
        assert_eq!(sum, wasm.len() as u64);
        assert_eq!(facts["imports"], serde_json::json!(["wasi_snapshot_preview1.proc_exit"]));
        assert_eq!(facts["memory.initial_pages"], 2);
        assert_eq!(facts["memory.maximum_pages"], 5);
    }

    #[test]
    fn what_the_bytes_say_is_known_by_its_name() {
        let facts = facts(&assemble(COMMAND)).expect("a module");
        assert_eq!(facts.keys().find(|name| !is_fact(name)), None);
        let of_runs = ["check", "fuel", "exit.code", "memory.final_pages", "stdout.sha256", "trap.code", "unsteady"];
        assert_eq!(of_runs.into_iter().find(|name| is_fact(name)), None);
    }

    #[test]
    fn stripped_is_the_size_without_custom_sections() {
        let (plain, with_note) = (COMMAND.replace(r#"(@custom "note" "twelve bytes")"#, ""), COMMAND);
        let stripped = facts(&assemble(with_note)).expect("a module")["size.stripped"].clone();
        assert_eq!(stripped, assemble(&plain).len());
    }

    #[test]
    fn functions_are_named_where_the_module_names_them() {
        let wasm = assemble(
            r#"(module (import "a" "b" (func))
                (func $_ZN4core3fmt5write17h0123456789abcdefE (drop (i32.const 1)) (drop (i32.const 2)))
                (func $main (export "_start")))"#,
        );
        let facts = facts(&wasm).expect("a module");
        assert_eq!(facts["functions.count"], 2);
        assert_eq!(facts["functions.largest"][0], json!({"name": "core::fmt::write", "bytes": 8}));
        assert_eq!(facts["functions.largest"][1]["name"], "main");
        assert_eq!(facts["size.by_crate"], json!({"core": 8, "(other)": 2}));
        assert_eq!(facts["exports"], json!(["_start()"]));
    }

    #[test]
    fn a_symbol_that_unfolds_to_a_megabyte_is_cut_off() {
        // Each type is a pair of the one before, by reference.
        let symbol = "_RINvC1a1fTllllllllETB7_B7_ETBh_Bh_ETBp_Bp_ETBx_Bx_ETBF_BF_ETBN_BN_ETBV_BV_ETB13_B13_EE";
        assert!(rustc_demangle::demangle(symbol).to_string().len() > 5_000);
        let name = readable(symbol);
        assert!(name.starts_with("a::f::<(i32, ") && name.len() <= NAME_BYTES, "{name}");
        assert_eq!(readable(&"ü".repeat(600)).len(), NAME_BYTES, "and no character is cut in two");
    }

    #[test]
    fn crates_are_read_off_paths() {
        assert_eq!(crate_of("core::fmt::write"), "core");
        assert_eq!(crate_of("<alloc::string::String as core::fmt::Write>::write_str"), "alloc");
        assert_eq!(crate_of("<&mut dyn std::io::Write as core::fmt::Write>::write_str"), "std");
        assert_eq!(crate_of("memcpy"), "(other)");
    }
}
