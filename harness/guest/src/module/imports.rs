//! What a module imports that nobody here offers, by the family that it is of, and what helps.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use wasmparser::types::Types;
use wasmparser::{FuncType, Parser, Payload, TypeRef};

use super::{ModuleError, invalid};

/// What is offered: functions by module and name, and how each is called, as [`signature`] writes it.
pub type Offered = BTreeMap<(String, String), String>;

/// Who wrote the imports of a module for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Preview 0 of WASI.
    OldWasi,
    /// Preview 1, which has no such function.
    Wasi,
    /// The proposal wasi-threads.
    WasiThreads,
    /// Other proposals to WASI, which never became part of preview 1.
    WasiProposal,
    /// WASIX, Wasmer's extension of preview 1.
    Wasix,
    /// WASI 0.2 and later, which is for components.
    Component,
    /// Emscripten's JavaScript.
    Emscripten,
    /// Glue of wasm-bindgen.
    WasmBindgen,
    /// Go for JavaScript.
    GoJs,
    /// AssemblyScript's own host functions.
    AssemblyScript,
    /// Anything else.
    Other,
}

impl Family {
    /// The family of an import.
    fn of(module: &str, name: &str, kind: &str) -> Self {
        let begins = |text: &str, beginnings: &[&str]| beginnings.iter().any(|beginning| text.starts_with(beginning));
        match module {
            "wasi_unstable" | "wasi_snapshot_preview0" => Self::OldWasi,
            "wasi_snapshot_preview1" => Self::Wasi,
            "wasi" if name.starts_with("thread") => Self::WasiThreads,
            "env" if kind == SHARED_MEMORY => Self::WasiThreads,
            "gojs" | "go" => Self::GoJs,
            "wbg" => Self::WasmBindgen,
            _ if begins(module, &["__wbindgen", "./"]) || begins(name, &["__wbindgen", "__wbg_"]) => Self::WasmBindgen,
            _ if begins(module, &["wasix_"]) => Self::Wasix,
            _ if begins(module, &["wasi_ephemeral", "wasi_nn", "wasi_experimental", "wasi_crypto"]) => {
                Self::WasiProposal
            }
            // `wasi:cli/run@0.2.0`, `[export]…`, and names of the canonical ABI.
            _ if module.contains(':') || begins(module, &["[export]", "cm32p2", "$root"]) => Self::Component,
            "env" if matches!(name, "abort" | "seed" | "trace") || name.starts_with("console.") => Self::AssemblyScript,
            "env" if begins(name, EMSCRIPTEN) => Self::Emscripten,
            // The first of these is what its optimiser makes of `env`.
            "a" | "asm2wasm" | "GOT.mem" | "GOT.func" => Self::Emscripten,
            _ => Self::Other,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::OldWasi => "old WASI (preview 0)",
            Self::Wasi => "WASI preview 1, which has no such function",
            Self::WasiThreads => "wasi-threads",
            Self::WasiProposal => "a proposal to WASI",
            Self::Wasix => "WASIX",
            Self::Component => "WASI 0.2 or later, or another component interface",
            Self::Emscripten => "Emscripten",
            Self::WasmBindgen => "wasm-bindgen",
            Self::GoJs => "Go for JavaScript",
            Self::AssemblyScript => "AssemblyScript",
            Self::Other => "not a known family",
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::OldWasi => "rebuild it with a newer SDK, for wasm32-wasip1",
            Self::Wasi => "rebuild it with an SDK for wasm32-wasip1",
            Self::WasiThreads => {
                "build it without threads: for wasm32-wasip1, not wasm32-wasip1-threads, and without -pthread"
            }
            Self::WasiProposal => "build it without that proposal",
            Self::Wasix => "build it for wasm32-wasip1, without WASIX",
            Self::Component => "build the module for wasm32-wasip1, not wasm32-wasip2",
            Self::Emscripten => "link it with -sSTANDALONE_WASM, or build it with the WASI SDK",
            Self::WasmBindgen => {
                "it is for browsers and Node.js: build it for wasm32-wasip1, without wasm-bindgen (often a feature called `js`)"
            }
            Self::GoJs => "build it with GOOS=wasip1 GOARCH=wasm, or tinygo build -target=wasip1",
            Self::AssemblyScript => "build it with --use abort= and the WASI shim, without these functions",
            Self::Other => {
                "these come from the program's own host: use --invoke on a function that does not need them, or rebuild without them"
            }
        }
    }
}

/// How names begin that Emscripten's JavaScript provides.
const EMSCRIPTEN: &[&str] = &[
    "emscripten_",
    "_emscripten",
    "__emscripten",
    "invoke_",
    "__cxa_",
    "__syscall",
    "_embind_",
    "_emval_",
    "_abort_js",
    "_tzset_js",
    "_mmap_js",
    "_munmap_js",
    "_localtime_js",
    "_mktime_js",
    "_gmtime_js",
    "setTempRet0",
    "getTempRet0",
    "llvm_eh_",
    "__resumeException",
    "__assert_fail",
    "__stack_pointer",
    "__indirect_function_table",
    "__table_base",
    "__memory_base",
    "segfault",
    "alignfault",
];

const SHARED_MEMORY: &str = "a shared memory";

/// One import that is not offered, or not in this way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownImport {
    /// The module that it is imported from.
    pub module: String,
    /// Its name.
    pub name: String,
    /// What it is: a function with its signature, a memory, and so on.
    pub kind: String,
    /// How it is offered, where only the type differs.
    pub offered: Option<String>,
    /// Its family.
    pub family: Family,
}

impl UnknownImport {
    /// Whether something can take its place that traps, or is empty.
    #[must_use]
    pub const fn can_be_stubbed(&self) -> bool {
        self.offered.is_none()
    }
}

/// All imports that the host does not provide.
#[derive(Debug)]
pub struct UnknownImports(pub Vec<UnknownImport>);

/// Names that are listed of a family.
const NAMES_SHOWN: usize = 12;
/// Letters of a name that are shown.
const LETTERS_SHOWN: usize = 60;

impl fmt::Display for UnknownImports {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(unknown) = self;
        let plural = if unknown.len() == 1 { "import" } else { "imports" };
        let families: BTreeSet<Family> = unknown.iter().map(|import| import.family).collect();
        let names: Vec<&str> = families.iter().map(|family| family.name()).collect();
        if unknown.iter().all(|import| import.offered.is_some()) {
            write!(formatter, "{} {plural} of another type than offered:", unknown.len())?;
        } else {
            write!(formatter, "{} unknown {plural} ({}):", unknown.len(), names.join("; "))?;
        }
        for family in families {
            let of_family: Vec<&UnknownImport> = unknown.iter().filter(|import| import.family == family).collect();
            let names: Vec<String> = of_family.iter().take(NAMES_SHOWN).map(|import| shown(import)).collect();
            let more = match of_family.len().saturating_sub(NAMES_SHOWN) {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            write!(formatter, "\n  {}: {}{more}. To do: {}.", family.name(), names.join(", "), family.advice())?;
        }
        if unknown.iter().all(UnknownImport::can_be_stubbed) {
            formatter.write_str("\n  Or run it with --stub-imports: calling a stubbed function traps.")?;
        }
        Ok(())
    }
}

fn shown(import: &UnknownImport) -> String {
    let short = |text: &str| match text.char_indices().nth(LETTERS_SHOWN) {
        Some((at, _)) => format!("{}…", text[..at].escape_debug()),
        None => text.escape_debug().to_string(),
    };
    let what = match (&import.offered, import.kind.as_str()) {
        (Some(offered), kind) => format!(" is {kind}, expected {offered}"),
        (None, kind) if kind.starts_with('(') => String::new(),
        (None, kind) => format!(" ({kind})"),
    };
    format!("`{}` `{}`{what}", short(&import.module), short(&import.name))
}

/// How a function is called, as `(i32, i64) -> (i32)`.
#[must_use]
pub fn signature(params: impl IntoIterator<Item = String>, results: impl IntoIterator<Item = String>) -> String {
    let list = |types: Vec<String>| types.join(", ");
    format!("({}) -> ({})", list(params.into_iter().collect()), list(results.into_iter().collect()))
}

/// The imports of a module that are not among what is offered.
///
/// # Errors
/// When it is no module.
pub(super) fn unknown(wasm: &[u8], types: &Types, offered: &Offered) -> Result<Vec<UnknownImport>, ModuleError> {
    let types = types.as_ref();
    let of_function = |index: u32| {
        let of = |ty: &FuncType| {
            let text = |types: &[wasmparser::ValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>();
            signature(text(ty.params()), text(ty.results()))
        };
        of(types[types.core_type_at_in_module(index)].unwrap_func())
    };
    let mut unknown = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        let Payload::ImportSection(imports) = payload.map_err(invalid)? else { continue };
        for import in imports.into_imports() {
            let import = import.map_err(invalid)?;
            let kind = match import.ty {
                TypeRef::Func(index) | TypeRef::FuncExact(index) => of_function(index),
                TypeRef::Memory(memory) if memory.shared => SHARED_MEMORY.to_owned(),
                TypeRef::Memory(_) => "a memory".to_owned(),
                TypeRef::Table(_) => "a table".to_owned(),
                TypeRef::Global(_) => "a global".to_owned(),
                TypeRef::Tag(_) => "a tag".to_owned(),
            };
            let as_offered = offered.get(&(import.module.to_owned(), import.name.to_owned()));
            if as_offered != Some(&kind) {
                unknown.push(UnknownImport {
                    module: import.module.to_owned(),
                    name: import.name.to_owned(),
                    offered: as_offered.cloned(),
                    family: Family::of(import.module, import.name, &kind),
                    kind,
                });
            }
        }
    }
    // `env` is everybody's: beside imports of a known family it is of the same.
    if unknown.iter().any(|import| import.family == Family::Emscripten) {
        let of_env = |import: &&mut UnknownImport| import.module == "env" && import.family != Family::Emscripten;
        unknown.iter_mut().filter(of_env).for_each(|import| import.family = Family::Emscripten);
    }
    Ok(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_apart_by_who_they_are_for() {
        for (module, name, family) in [
            ("wasi_unstable", "fd_write", Family::OldWasi),
            ("wasi_snapshot_preview1", "fd_wrong", Family::Wasi),
            ("wasi", "thread-spawn", Family::WasiThreads),
            ("wasi_ephemeral_nn", "load", Family::WasiProposal),
            ("wasix_32v1", "fd_dup", Family::Wasix),
            ("wasi:cli/stdout@0.2.0", "get-stdout", Family::Component),
            ("env", "emscripten_resize_heap", Family::Emscripten),
            ("env", "invoke_vii", Family::Emscripten),
            ("env", "__cxa_throw", Family::Emscripten),
            ("a", "b", Family::Emscripten),
            ("__wbindgen_placeholder__", "__wbindgen_throw", Family::WasmBindgen),
            ("./app_bg.js", "__wbg_log_1", Family::WasmBindgen),
            ("gojs", "runtime.wasmExit", Family::GoJs),
            ("go", "debug", Family::GoJs),
            ("env", "abort", Family::AssemblyScript),
            ("env", "nothing", Family::Other),
            ("game", "draw", Family::Other),
        ] {
            assert_eq!(Family::of(module, name, "() -> ()"), family, "{module} {name}");
        }
        assert_eq!(Family::of("env", "memory", SHARED_MEMORY), Family::WasiThreads);
        assert_eq!(Family::of("env", "memory", "a memory"), Family::Other);
    }
}
