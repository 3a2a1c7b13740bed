//! How a guest ended, from what wasmtime says of it.

use wasiscope_ebpf_abi::Phase;
use wasmtime::{
    AsContextMut, ExnRef, Extern, GcHeapOutOfMemory, Instance, Rooted, Store, Tag, ThrownException, Trap,
    UnknownImportError, Val,
};
use wasmtime_wasi::I32Exit;

use super::entry::shown;
use super::host::Host;
use crate::{is_out_of_memory, reason};
use wasiscope_worker::limits::Limit;
use wasiscope_worker::privileges;
use wasiscope_worker::protocol::{Ending, EndingContext};

/// Where a guest was when control came back.
#[derive(Clone, Copy, Debug)]
pub struct At {
    pub phase: Phase,
    /// Whether it never got to the function that is measured.
    pub is_early: bool,
}

impl At {
    /// In the function that is measured.
    pub const fn measured(phase: Phase) -> Self {
        Self { phase, is_early: false }
    }

    /// In a start function, or in what runs before the function that is measured.
    pub const fn early(phase: Phase) -> Self {
        Self { phase, is_early: true }
    }
}

/// How the guest ended, `at` where; `instance` is its own, once there was one.
pub fn ending(result: &wasmtime::Result<()>, store: &mut Store<Host>, instance: Option<&Instance>, at: At) -> Ending {
    let error = match result {
        Err(error) if error.downcast_ref::<I32Exit>().is_none_or(|exit| exit.0 != 0) => error,
        _ => {
            // Output that is not whole is no answer, however the guest took it.
            let output_met = store.data().limits_met().iter().any(|met| met.limit == Limit::Output);
            let broken = output_met.then(|| "its output is not whole".to_owned());
            return match broken.or_else(|| store.data().complaint()) {
                Some(reason) => Ending::Broken { reason, context: context(store.data(), at) },
                None => Ending::Returned,
            };
        }
    };
    note_limits(error, store.data(), at);
    let (context, stderr) = (context(store.data(), at), store.data().stderr_end());
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return Ending::Exited { code: exit.0, stderr, context };
    }
    let trap = match error.downcast_ref::<UnknownImportError>() {
        Some(import) => format!("called the import `{}` `{}`, which is a stub", import.module(), import.name()),
        None if error.is::<ThrownException>() => uncaught(store, instance),
        None => match (error.downcast_ref::<Trap>(), error.downcast_ref::<GcHeapOutOfMemory<()>>()) {
            (Some(trap), _) => trap.to_string(),
            (None, Some(out)) => out.to_string(),
            (None, None) => return Ending::Broken { reason: reason(error.as_ref()), context },
        },
    };
    Ending::Trapped { trap, stderr, context }
}

/// The name of a trap, or of what is an ending like one; `None` for every other error.
pub fn trap_code(error: &wasmtime::Error) -> Option<String> {
    if let Some(trap) = error.downcast_ref::<Trap>() {
        return Some(format!("{trap:?}"));
    }
    let name = if error.is::<ThrownException>() {
        "UncaughtException"
    } else if error.is::<UnknownImportError>() {
        "UnknownImport"
    } else if error.is::<GcHeapOutOfMemory<()>>() {
        "GcHeapOutOfMemory"
    } else {
        return None;
    };
    Some(name.to_owned())
}

/// Whether it was the guest that ended, and not the host that could not go on.
pub fn is_of_guest(error: &wasmtime::Error) -> bool {
    error.is::<I32Exit>() || trap_code(error).is_some()
}

fn context(host: &Host, at: At) -> EndingContext {
    EndingContext { during: at.is_early.then_some(at.phase), limits: host.limits_met() }
}

/// Notes the limits that are met without anybody having been asked: those of the engine and of the process.
fn note_limits(error: &wasmtime::Error, host: &Host, at: At) {
    if error.downcast_ref::<Trap>() == Some(&Trap::StackOverflow) {
        host.cell().meet_in(Limit::Stack, at.phase);
    }
    if is_out_of_memory(error.as_ref()) {
        host.cell().meet_in(Limit::AddressSpace, at.phase);
    }
    if privileges::descriptors_ran_out() {
        host.cell().meet_in(Limit::Descriptors, at.phase);
    }
}

/// What the exception was that nobody caught: its tag by the name under which the guest exports it, and its values.
fn uncaught(store: &mut Store<Host>, instance: Option<&Instance>) -> String {
    let Some(exception) = store.take_pending_exception() else { return "uncaught exception".to_owned() };
    let described = describe(store, instance, exception);
    described.unwrap_or_else(|error| format!("uncaught exception, of which nothing can be read: {error}"))
}

fn describe(
    store: &mut Store<Host>,
    instance: Option<&Instance>,
    exception: Rooted<ExnRef>,
) -> wasmtime::Result<String> {
    let tag = exception.tag(&mut *store)?;
    let values: Vec<Val> = exception.fields(store.as_context_mut())?.collect();
    let types: Vec<String> = values
        .iter()
        .map(|value| Ok::<_, wasmtime::Error>(format!("{} {}", value.ty(&*store)?, shown(value))))
        .collect::<Result<_, _>>()?;
    let exported: Vec<(String, Tag)> = match instance {
        Some(instance) => instance
            .exports(&mut *store)
            .filter_map(|export| match (export.name().to_owned(), export.into_extern()) {
                (name, Extern::Tag(tag)) => Some((name, tag)),
                _ => None,
            })
            .collect(),
        None => Vec::new(),
    };
    let name = exported.iter().find(|(_, other)| Tag::eq(&tag, other, &*store)).map(|(name, _)| name);
    let name = name.map_or("a tag that is not exported".to_owned(), |name| format!("tag `{name}`"));
    Ok(format!("uncaught exception: {name} ({})", types.join(", ")))
}
