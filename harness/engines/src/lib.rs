//! wasmtime as an engine: a guest's way through the phases, its facts, pairs of guests, and the process in which that happens.
//!
//! The parent starts its own executable with [`wasiscope_worker::VERB`] as the first argument. The child says `Ready`, reads one
//! [`Request`], and streams [`Message`]s as it goes, so that what it measured survives its death. The child knows
//! nothing of statistics.

mod callgrind;
mod code;
mod ending;
pub mod engine;
mod entry;
mod facts;
pub mod host;
mod link;
pub mod memory;
mod output;
mod pair;
mod pass;

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::Context;
use wasiscope_ebpf_abi::Phase;
use wasiscope_model::kind::find;

use pair::{Layout, Pair};
use wasiscope_guest::module::Offered;
use wasiscope_worker::cell::PhaseCell;
use wasiscope_worker::session::{Session, send};
use wasiscope_worker::{
    BUSY_VERB, Iteration, Job, Kinds, Limit, Message, Request, Side, Task, VERB, native::Native, thread,
};

pub use engine::{WASMTIME_VERSION, check as check_engine};
pub use pass::{Linked, Worker};

/// Every function that a guest may import, and how it is called.
///
/// # Panics
/// Never: what could fail is wasmtime's default engine, under which no process of this program would get this far.
#[must_use]
pub fn offered_imports() -> &'static Offered {
    static OFFERED: OnceLock<Offered> = OnceLock::new();
    OFFERED.get_or_init(|| host::offered().unwrap_or_default())
}

/// Keeps a processor busy until it is killed, or its parent is gone.
fn busy(arguments: &[String]) -> ! {
    let _ = arguments.first().and_then(|cpu| cpu.parse().ok()).map(thread::stay_on);
    loop {
        std::hint::spin_loop();
    }
}

/// Does what an executable of this library was started for by itself, if it was: to be a worker, or to keep a processor busy. To be
/// called before anything else is set up, because a worker's start is charged to its phase `spawn`.
#[must_use]
pub fn serve_if_asked(kinds: Kinds) -> Option<ExitCode> {
    // What is not UTF-8 is for a verb of the user's, or meant nothing.
    let arguments: Vec<String> = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()).collect();
    match arguments.get(1).map(String::as_str) {
        Some(VERB) => Some(status(main(&arguments[2..], kinds))),
        Some(BUSY_VERB) => busy(&arguments[2..]),
        Some(verb) => kinds.iter().find_map(|kind| kind.serve(verb, &arguments[2..])).map(status),
        None => None,
    }
}

fn status(served: anyhow::Result<()>) -> ExitCode {
    served.map_or_else(
        |error| {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

/// Runs as a worker: everything after [`VERB`] in `arguments`. What goes wrong with the guest is a message, not an error.
fn main(arguments: &[String], kinds: Kinds) -> anyhow::Result<()> {
    let Some(Session { request: Request { subject, task, .. }, cell }) = Session::open(arguments)? else {
        return Ok(());
    };
    let (heap, stack) = memory::heap_and_stack();
    cell.publish_process(heap, stack);
    if subject.native && !matches!(task, Task::Compare { .. }) {
        let native = Native::new(subject, cell)?;
        return serve(&task, &cell, || native.facts(), |_, _| native.iterate());
    }
    // wasmtime-wasi needs a tokio runtime at hand. Left to itself it starts one in the middle of the first guest's
    // first call, with a thread per CPU, and yields to it at every call. This one has one thread, which sleeps.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    wait_until_other_threads_sleep();

    if let Task::Compare { other, quads, compilations, repeats, other_first } = task {
        if other.program != subject.program {
            let reason = format!("{} cannot run the guest of {}", subject.program, other.program);
            return send(&Message::Refused { reason });
        }
        let first = if other_first { Side::New } else { Side::Base };
        let layout = Layout { quads, compilations, repeats, first };
        let done = Pair::new(subject, *other, cell).and_then(|pair| pair.run(layout, &mut send));
        return done.or_else(|error| send(&refused(&error, &cell)));
    }
    if let Task::Check { kind, .. } | Task::Experiment { kind, .. } | Task::Flow { kind, .. } = &task {
        let kind = find(kinds, kind).with_context(|| format!("no kind of scenario is called `{kind}`"))?;
        let done = kind.work(Job { task: &task, subject: &subject, cell }, &mut send);
        return done.or_else(|error| send(&refused(&error, &cell)));
    }
    let worker = Worker::new(subject, cell)?;
    if matches!(task, Task::Instructions) {
        return send(&count_instructions(&worker).unwrap_or_else(|error| refused(&error, &cell)));
    }
    if let Task::Trace { warm_ups } = task {
        let traced = worker.trace(warm_ups).map(Message::Iteration);
        return send(&traced.unwrap_or_else(|error| refused(&error, &cell)));
    }
    let iterate = |repeats, compiles| {
        if compiles { worker.iterate(repeats) } else { worker.iterate_precompiled(repeats) }
    };
    serve(&task, &cell, || worker.facts(), iterate)
}

/// Does the task and sends what it gives, message by message.
fn serve<E: AsRef<dyn Error + Send + Sync>>(
    task: &Task,
    cell: &PhaseCell,
    facts: impl FnOnce() -> Result<Message, E>,
    iterate: impl Fn(u32, bool) -> Result<Iteration, E>,
) -> anyhow::Result<()> {
    let Task::Iterate { iterations, repeats, compilations } = *task else {
        return send(&facts().unwrap_or_else(|error| refused(&error, cell)));
    };
    for index in 0..iterations {
        let compiles = compilations.is_none_or(|most| index < most);
        match iterate(repeats, compiles) {
            Ok(iteration) => send(&Message::Iteration(iteration))?,
            Err(error) => return send(&refused(&error, cell)),
        }
    }
    Ok(())
}

/// Makes a few passes under callgrind, which leaves a file for each.
fn count_instructions(worker: &Worker) -> wasmtime::Result<Message> {
    /// A count is a fact only when it repeats.
    const PASSES: u32 = 2;
    if !callgrind::is_there() {
        wasmtime::bail!("instructions are counted under valgrind, on x86-64");
    }
    let (linked, _) = worker.linked()?;
    // The first pass still finds things to set up.
    worker.warm(&linked, 1)?;
    callgrind::count_between_marks(true);
    let mut last = worker.warm(&linked, 1)?;
    callgrind::dump();
    for _ in 1..PASSES {
        last = worker.warm(&linked, 1)?;
        callgrind::dump();
    }
    callgrind::count_between_marks(false);
    Ok(Message::Iteration(last))
}

/// Whether the kernel refused memory.
fn is_out_of_memory(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        let by_std = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::raw_os_error);
        let by_rustix = error.downcast_ref::<rustix::io::Errno>().map(|errno| errno.raw_os_error());
        if by_std.or(by_rustix) == Some(libc::ENOMEM) {
            return true;
        }
        next = error.source();
    }
    false
}

fn refused(error: &impl AsRef<dyn Error + Send + Sync>, cell: &PhaseCell) -> Message {
    let reason = reason(error.as_ref());
    if is_out_of_memory(error.as_ref()) {
        cell.meet(Limit::AddressSpace);
    }
    // A pool has slots of a size, and its refusal has no type.
    if reason.contains("pooling allocator") && reason.contains("exceeds the limit of") {
        cell.meet_in(Limit::Memory, Phase::Compile);
    }
    Message::Refused { reason }
}

/// An error with its causes, in one line; behind it where in the guest it happened, which wasmtime says first.
fn reason(error: &(dyn Error + 'static)) -> String {
    let (mut said, mut place) = (String::new(), None);
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if text.starts_with("error while executing at wasm backtrace") {
            place = Some(text);
        } else if !said.contains(&text) {
            said += if said.is_empty() { "" } else { ": " };
            said += &text;
        }
        next = error.source();
    }
    match place {
        Some(place) => format!("{said}\n{}", place.trim_end()),
        None => said,
    }
}

/// Lets the runtime's thread finish its start, so that none of its system calls falls into a phase.
fn wait_until_other_threads_sleep() {
    let deadline = Instant::now() + Duration::from_millis(100);
    let own = rustix::thread::gettid().as_raw_nonzero().to_string();
    while Instant::now() < deadline {
        let Ok(threads) = std::fs::read_dir("/proc/self/task") else { return };
        let busy = threads.flatten().filter(|thread| thread.file_name() != *own).any(|thread| is_awake(&thread.path()));
        if !busy {
            return;
        }
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn is_awake(thread: &Path) -> bool {
    // The state is the first word behind the last bracket of `pid (name) S …`. By hand, as in `memory.rs`.
    let stat = std::fs::read_to_string(thread.join("stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('S'))
}
