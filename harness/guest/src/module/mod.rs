//! What a wasm module says about itself. By parsing, never by running.

mod imports;
mod ledger;
mod value;

use std::io;
use std::path::{Path, PathBuf};

use wasmparser::types::Types;
use wasmparser::{BinaryReaderError, ExternalKind, Parser, Payload, ValType, Validator, WasmFeatures};

use wasiscope_model::code::{Code, Coded};
use wasiscope_sys::files::{self, Content};

pub use imports::{Family, Offered, UnknownImport, UnknownImports, signature};
pub use ledger::{facts, is_fact};
pub use value::{Number, NumberType};

/// Why a file cannot be run as a guest.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// A file that cannot be read.
    #[error("cannot read {}: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        reason: io::Error,
    },
    /// Text that is not valid WebAssembly; the message has the file, the line and the column.
    #[error("{0}")]
    Text(wat::Error),
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
    /// What git-lfs leaves where it did not fetch a file.
    #[error(
        "a Git LFS pointer, not its content: run `git lfs pull` (in GitHub Actions, give actions/checkout `lfs: true`)"
    )]
    LfsPointer,
    /// A component, which wraps modules in another format.
    #[error("a WebAssembly component, not a module: wasiscope runs WASI preview 1 modules (wasm32-wasip1)")]
    Component,
    /// Nothing to call.
    #[error(
        "exports no function `{wanted}`; it exports {}. {}",
        if exported.is_empty() { "none".to_owned() } else { exported.join(", ") },
        convention(wanted)
    )]
    NoSuchFunction {
        /// The function to call.
        wanted: String,
        /// The functions that there are.
        exported: Vec<String>,
    },
    /// It imports what the host does not provide.
    #[error("{0}")]
    Imports(UnknownImports),
    /// The function takes something else.
    #[error(
        "`{function}` takes {} and was given {}{}",
        if params.is_empty() { "no arguments".to_owned() } else { format!("({})", params.join(", ")) },
        match &args[..] {
            _ if function == HANDLER => "two".to_owned(),
            [] => "none: give each with --arg".to_owned(),
            args => args.join(", "),
        },
        if function == HANDLER { format!(". {}", convention(function)) } else { String::new() }
    )]
    Arguments {
        /// The function to call.
        function: String,
        /// The types that it takes.
        params: Vec<String>,
        /// What it was given.
        args: Vec<String>,
    },
}

impl ModuleError {
    /// Whether there are bytes that are no such module, rather than none that could be looked at.
    #[must_use]
    pub const fn is_of_contents(&self) -> bool {
        !matches!(self, Self::Unreadable { .. } | Self::Text(_))
    }
}

impl Coded for ModuleError {
    fn code(&self) -> Code {
        match self {
            Self::Unreadable { reason, .. } => Code::of_read(reason),
            Self::Text(_) => Code::InvalidText,
            Self::Invalid { .. } | Self::OtherFormat => Code::NotWebassembly,
            Self::LfsPointer => Code::LfsPointer,
            Self::Component => Code::Component,
            Self::NoSuchFunction { .. } => Code::NoSuchFunction,
            Self::Imports(_) => Code::UnknownImports,
            Self::Arguments { .. } => Code::WrongArguments,
        }
    }
}

/// What a handler of kernel events exports.
const HANDLER: &str = "handle_event";

/// What is expected of a module in which this function is called.
fn convention(wanted: &str) -> &'static str {
    match wanted {
        HANDLER => "A handler exports `handle_event(ptr: i32, len: i32) -> i32` (docs/pipeline.md)",
        _ => "wasiscope runs WASI commands (`_start`), and with --invoke any exported function",
    }
}

/// Reads a guest from a file. Text is assembled; whether it is text is decided by its bytes, whatever the file is called.
///
/// # Errors
/// When the file cannot be read or its text is not WebAssembly.
pub fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = files::read(path).map_err(|reason| ModuleError::Unreadable { path: path.to_owned(), reason })?;
    if is_lfs_pointer(&bytes) {
        return Err(anyhow::Error::new(ModuleError::LfsPointer).context(path.display().to_string()));
    }
    // A file that is called text is told what is wrong with it as text.
    let is_text = match files::content_of(&bytes) {
        Content::Wat => true,
        Content::Wasm => false,
        Content::Document | Content::Other => has_extension(path, &["wat"]),
    };
    if !is_text {
        return Ok(bytes);
    }
    wat::parse_bytes(files::without_byte_order_mark(&bytes)).map(|wasm| wasm.into_owned()).map_err(|mut error| {
        error.set_path(path);
        ModuleError::Text(error).into()
    })
}

/// Whether a file is called a guest, whatever it holds.
#[must_use]
pub fn is_guest_name(path: &Path) -> bool {
    has_extension(path, &["wasm", "wat"])
}

fn has_extension(path: &Path, extensions: &[&str]) -> bool {
    path.extension().is_some_and(|own| extensions.iter().any(|extension| own.eq_ignore_ascii_case(extension)))
}

/// The bytes of a module in the text format.
///
/// # Errors
/// When it is none.
pub fn assemble(text: &str) -> Result<Vec<u8>, ModuleError> {
    wat::parse_str(text).map_err(ModuleError::Text)
}

/// What a module may import.
#[derive(Clone, Copy, Debug)]
pub struct Imports<'a> {
    /// What is offered.
    pub offered: &'a Offered,
    /// Whether stubs take the place of everything else.
    pub stubs: bool,
}

/// Checks that `wasm` is a module that exports the function to call, that it takes these arguments, and, where it is known
/// what is offered, that nothing else is imported.
///
/// # Errors
/// When it is not.
pub fn check(wasm: &[u8], (wanted, args): (&str, &[String]), imports: Option<Imports<'_>>) -> Result<(), ModuleError> {
    let types = validate(wasm)?;
    if let Some(Imports { offered, stubs }) = imports {
        let mut unknown = imports::unknown(wasm, &types, offered)?;
        unknown.retain(|import| !stubs || !import.can_be_stubbed());
        if !unknown.is_empty() {
            return Err(ModuleError::Imports(UnknownImports(unknown)));
        }
    }
    let mut exported = Vec::new();
    let mut found = None;
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::ExportSection(exports) = payload.map_err(invalid)? {
            for export in exports {
                let export = export.map_err(invalid)?;
                if matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact) {
                    exported.push(export.name.to_owned());
                    found = found.or((export.name == wanted).then_some(export.index));
                }
            }
        }
    }
    let Some(index) = found else {
        return Err(ModuleError::NoSuchFunction { wanted: wanted.to_owned(), exported });
    };
    let types = types.as_ref();
    let params = types[types.core_function_at(index)].unwrap_func().params();
    if params.len() == args.len() && params.iter().zip(args).all(|(ty, text)| is_value(*ty, text)) {
        return Ok(());
    }
    Err(ModuleError::Arguments {
        function: wanted.to_owned(),
        params: params.iter().map(ToString::to_string).collect(),
        args: args.to_vec(),
    })
}

/// Checks that `wasm` is a module. What the engine supports is the engine's to say, case by case; here only the format
/// counts.
///
/// # Errors
/// When it is not.
pub fn validate(wasm: &[u8]) -> Result<Types, ModuleError> {
    check_format(wasm)?;
    Validator::new_with_features(WasmFeatures::all()).validate_all(wasm).map_err(invalid)
}

/// Whether a module exports a function of this name.
#[must_use]
pub fn exports_function(wasm: &[u8], name: &str) -> bool {
    let exports = Parser::new(0).parse_all(wasm).filter_map(|payload| match payload {
        Ok(Payload::ExportSection(exports)) => Some(exports),
        _ => None,
    });
    exports
        .flat_map(|exports| exports.into_iter().flatten().collect::<Vec<_>>())
        .any(|export| export.name == name && matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact))
}

/// Whether a word of the command line can be passed as this type.
fn is_value(ty: ValType, text: &str) -> bool {
    NumberType::of(ty).is_some_and(|ty| Number::parse(ty, text).is_some())
}

/// As the specification of git-lfs has it.
fn is_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}

/// A module of WebAssembly at all, before a parser looks at it.
fn check_format(wasm: &[u8]) -> Result<(), ModuleError> {
    if is_lfs_pointer(wasm) {
        return Err(ModuleError::LfsPointer);
    }
    if !wasm.starts_with(b"\0asm") {
        return Err(ModuleError::OtherFormat);
    }
    if Parser::is_component(wasm) {
        return Err(ModuleError::Component);
    }
    Ok(())
}

fn invalid(error: BinaryReaderError) -> ModuleError {
    ModuleError::Invalid { message: error.message().to_owned(), offset: error.offset() }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) const COMMAND: &str = r#"(module
        (import "wasi_snapshot_preview1" "proc_exit" (func (param i32)))
        (memory 2 5)
        (func (export "_start"))
        (data (i32.const 0) "some data")
        (@custom "note" "twelve bytes"))"#;

    pub(super) fn assemble(text: &str) -> Vec<u8> {
        wat::parse_str(text).expect("valid text")
    }

    #[test]
    fn other_files_and_other_functions_are_errors() {
        assert!(check(&assemble(COMMAND), ("_start", &[]), None).is_ok());
        let refused = |bytes: &[u8]| check(bytes, ("_start", &[]), None).expect_err("not a guest");
        assert!(matches!(refused(b"MZ, surely not wasm"), ModuleError::OtherFormat));
        assert!(matches!(refused(b""), ModuleError::OtherFormat));
        let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n";
        assert!(matches!(refused(pointer), ModuleError::LfsPointer));
        assert!(matches!(refused(&assemble(COMMAND)[..40]), ModuleError::Invalid { .. }));
        assert!(matches!(refused(&assemble("(component)")), ModuleError::Component));
        let exports = |bytes: &[u8]| match refused(bytes) {
            ModuleError::NoSuchFunction { wanted, exported } => (wanted, exported),
            other => panic!("{other}"),
        };
        assert_eq!(exports(&assemble("(module)")), ("_start".to_owned(), vec![]));
        let library = assemble(r#"(module (func (export "add") (param i32 f64)))"#);
        assert_eq!(exports(&library), ("_start".to_owned(), vec!["add".to_owned()]));
        let call = |given: &[&str]| {
            let args: Vec<String> = given.iter().map(ToString::to_string).collect();
            match check(&library, ("add", &args), None) {
                Err(ModuleError::Arguments { function, params, args }) => Some((function, params.join(" "), args)),
                checked => checked.map(|()| None).expect("a mistake in the arguments"),
            }
        };
        assert_eq!(call(&["-1", "2.5"]), None);
        for given in [&["1.5", "2"][..], &[]] {
            let args = given.iter().map(ToString::to_string).collect();
            assert_eq!(call(given), Some(("add".to_owned(), "i32 f64".to_owned(), args)));
        }
    }
}
