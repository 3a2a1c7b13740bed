//! What a wasm module says about itself: sizes by section, imports, memory. By parsing, never by running.

use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use wasmparser::{Encoding, Parser, Payload, Validator, WasmFeatures};

use crate::record::Facts;

/// Why a file cannot be run as a guest.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// Not valid WebAssembly.
    #[error("not a WebAssembly module: {message} (at byte {offset})")]
    Invalid {
        /// The parser's reason.
        message: String,
        /// Where in the file.
        offset: usize,
    },
    /// Not WebAssembly at all.
    #[error("not a WebAssembly module: it does not begin with the bytes `\\0asm`")]
    OtherFormat,
    /// A component, which wraps modules in another format.
    #[error("a WebAssembly component, not a module: wasiscope runs WASI preview 1 modules (wasm32-wasip1)")]
    Component,
    /// Nothing to call.
    #[error("exports no function `_start`: wasiscope runs WASI commands; build it as a program, not as a library")]
    NoStart,
}

/// Reads a guest from a file; text (`.wat`) is assembled first.
///
/// # Errors
/// When the file cannot be read or its text is not WebAssembly.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = std::fs::read(path).map_err(|error| anyhow::anyhow!("cannot read {}: {error}", path.display()))?;
    if path.extension().is_some_and(|extension| extension == "wat") {
        return wat::parse_bytes(&bytes).map(|wasm| wasm.into_owned()).map_err(|mut error| {
            error.set_path(path);
            anyhow::anyhow!("{error}")
        });
    }
    Ok(bytes)
}

/// Checks that `wasm` is a module with a `_start` to call.
///
/// # Errors
/// When it is not.
pub fn check(wasm: &[u8]) -> Result<(), ModuleError> {
    let invalid = |error: wasmparser::BinaryReaderError| ModuleError::Invalid {
        message: error.message().to_owned(),
        offset: error.offset(),
    };
    if !wasm.starts_with(b"\0asm") {
        return Err(ModuleError::OtherFormat);
    }
    if Parser::is_component(wasm) {
        return Err(ModuleError::Component);
    }
    // What the engine supports is the engine's to say, case by case; here only the format counts.
    Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).map_err(invalid)?;
    let mut has_start = false;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(exports) = payload.map_err(invalid)? {
            for export in exports {
                let export = export.map_err(invalid)?;
                has_start |= export.name == "_start" && export.kind == wasmparser::ExternalKind::Func;
            }
        }
    }
    if has_start { Ok(()) } else { Err(ModuleError::NoStart) }
}

/// The facts that a module's bytes alone tell.
///
/// `size.wasm` is the sum of all `size.section.*` (contents, as `wasm-objdump -h` counts them) and `size.framing` (the
/// header and each section's own head).
///
/// # Errors
/// When the bytes are not a module.
pub fn facts(wasm: &[u8]) -> Result<Facts, ModuleError> {
    let invalid = |error: wasmparser::BinaryReaderError| ModuleError::Invalid {
        message: error.message().to_owned(),
        offset: error.offset(),
    };
    let mut sections: std::collections::BTreeMap<&str, usize> = std::collections::BTreeMap::new();
    let mut custom_total = 0;
    let mut imports = Vec::new();
    let mut memory = None;
    let mut section_start = 0;
    for payload in Parser::new(0).parse_all(wasm) {
        let payload = payload.map_err(invalid)?;
        match &payload {
            Payload::Version { range, encoding, .. } => {
                if *encoding == Encoding::Component {
                    return Err(ModuleError::Component);
                }
                section_start = range.end;
            }
            Payload::ImportSection(reader) => {
                for import in reader.clone().into_imports() {
                    let import = import.map_err(invalid)?;
                    imports.push(format!("{}.{}", import.module, import.name));
                    if let wasmparser::TypeRef::Memory(imported) = import.ty {
                        memory.get_or_insert(imported);
                    }
                }
            }
            Payload::MemorySection(memories) => {
                for declared in memories.clone() {
                    memory.get_or_insert(declared.map_err(invalid)?);
                }
            }
            _ => {}
        }
        if let Some((name, contents)) = section(&payload) {
            *sections.entry(name).or_default() += contents.len();
            if name == "custom" {
                custom_total += contents.end - section_start;
            }
            section_start = contents.end;
        }
    }
    let framing = wasm.len() - sections.values().sum::<usize>();
    let mut facts = Facts::from([
        ("size.wasm".to_owned(), Value::from(wasm.len())),
        ("size.stripped".to_owned(), Value::from(wasm.len() - custom_total)),
        ("size.gzip".to_owned(), Value::from(gzipped(wasm))),
        ("size.framing".to_owned(), Value::from(framing)),
        ("memory.initial_pages".to_owned(), Value::from(memory.map(|memory| memory.initial))),
        ("memory.maximum_pages".to_owned(), Value::from(memory.and_then(|memory| memory.maximum))),
        ("imports".to_owned(), Value::from(imports)),
    ]);
    facts.extend(sections.into_iter().map(|(name, size)| (format!("size.section.{name}"), Value::from(size))));
    Ok(facts)
}

/// The name and the contents' range of a section, in the words of the specification.
fn section(payload: &Payload<'_>) -> Option<(&'static str, std::ops::Range<usize>)> {
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

#[cfg(test)]
mod tests {
    use super::*;

    const COMMAND: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory 2 5)
        (func (export "_start"))
        (data (i32.const 0) "some data")
        (@custom "note" "twelve bytes"))"#;

    fn assemble(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("valid text")
    }

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
    fn stripped_is_the_size_without_custom_sections() {
        let (plain, with_note) = (COMMAND.replace(r#"(@custom "note" "twelve bytes")"#, ""), COMMAND);
        let stripped = facts(&assemble(with_note)).expect("a module")["size.stripped"].clone();
        assert_eq!(stripped, assemble(&plain).len());
    }

    #[test]
    fn what_is_no_guest_is_refused_with_the_reason() {
        assert!(check(&assemble(COMMAND)).is_ok());
        let reason = |bytes: &[u8]| check(bytes).expect_err("not a guest").to_string();
        assert!(reason(b"MZ, surely not wasm").contains("not a WebAssembly module"));
        assert!(reason(b"").contains("not a WebAssembly module"));
        assert!(reason(&assemble(COMMAND)[..40]).contains("not a WebAssembly module"));
        assert!(reason(&assemble("(component)")).contains("component"));
        assert!(reason(&assemble("(module)")).contains("_start"));
    }
}
