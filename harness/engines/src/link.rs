//! From a compiled guest to one whose imports are resolved.

use std::borrow::Cow;

use wasmtime::{Engine, ExternType, ImportType, InstancePre, Linker, Module, Store};

use super::host::{self, Host};

/// A guest with what it imports.
pub enum Ready {
    /// Once for all its instances.
    Resolved(InstancePre<Host>),
    /// Some of it belongs to a store, so it is made anew for each: memories, tables, globals and tags that are stubs.
    PerStore { linker: Linker<Host>, module: Module },
}

impl Ready {
    pub fn module(&self) -> &Module {
        match self {
            Self::Resolved(resolved) => resolved.module(),
            Self::PerStore { module, .. } => module,
        }
    }

    /// As it can be instantiated in this store. To be called outside phases.
    pub fn in_store(&self, store: &mut Store<Host>) -> wasmtime::Result<Cow<'_, InstancePre<Host>>> {
        let (linker, module) = match self {
            Self::Resolved(resolved) => return Ok(Cow::Borrowed(resolved)),
            Self::PerStore { linker, module } => (linker, module),
        };
        let mut linker = linker.clone();
        for import in module.imports().filter(|import| is_unknown(&linker, store, import)).collect::<Vec<_>>() {
            let (of, name) = (import.module(), import.name());
            let stub = import.ty().default_value(&mut *store).map_err(|error| {
                wasmtime::format_err!("the import `{of}` `{name}` cannot be replaced by a stub: {error:#}")
            })?;
            linker.define(&mut *store, of, name, stub)?;
        }
        Ok(Cow::Owned(linker.instantiate_pre(module)?))
    }
}

fn is_unknown(linker: &Linker<Host>, store: &mut Store<Host>, import: &ImportType<'_>) -> bool {
    linker.get_by_import(store, import).is_none()
}

/// Resolves the imports of a module. Those that the host does not provide are an error, or stubs: functions that trap, anything else empty.
pub fn link(engine: &Engine, module: &Module, stubs: bool) -> wasmtime::Result<Ready> {
    let mut linker = Linker::new(engine);
    host::add_imports(&mut linker)?;
    if module.imports().any(|import| import.module() == host::OLD_WASI) {
        host::add_old_wasi(&mut linker)?;
    }
    if stubs {
        linker.define_unknown_imports_as_traps(module)?;
        // All that is offered is functions.
        if module.imports().any(|import| !matches!(import.ty(), ExternType::Func(_))) {
            return Ok(Ready::PerStore { linker, module: module.clone() });
        }
    }
    Ok(Ready::Resolved(linker.instantiate_pre(module)?))
}
