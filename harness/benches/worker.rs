//! What the worker adds to bare wasmtime: a mark, and its loop against a bare loop in the same process.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use criterion::Criterion;
use wasiscope::scenario::{self, Limits};
use wasiscope::stats::{Estimate, log_ratio};
use wasiscope::units;
use wasiscope::worker::cell::PhaseCell;
use wasiscope::worker::{GuestInput, Iteration, Linked, Subject, Worker};
use wasiscope_ebpf_abi::Phase;
use wasiscope_workloads::{MARK_END, MARK_START};
use wasmtime::{Config, Engine, InstancePre, Linker, Module, Store};

/// Marks in one call of the guest.
const MARKS: u64 = 100_000;

/// A guest in a folder of its own, ready to be passed.
struct Guest {
    worker: Worker,
    linked: Linked,
    wasm: Vec<u8>,
    _folder: tempfile::TempDir,
}

impl Guest {
    fn new(text: &str) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("guest.wasm");
        let wasm = wat::parse_str(text)?;
        std::fs::write(&path, &wasm)?;
        let directory = folder.path().join("guest");
        std::fs::create_dir(&directory)?;
        let worker = Worker::new(subject(&path, directory), PhaseCell::private(0))?;
        let (linked, _) = worker.linked().map_err(|error| anyhow::anyhow!("{error:#}"))?;
        Ok(Self { worker, linked, wasm, _folder: folder })
    }

    fn pass(&self) -> Iteration {
        self.worker.warm(&self.linked, 1).unwrap_or_else(|error| panic!("{error:#}"))
    }
}

fn subject(guest: &Path, directory: PathBuf) -> Subject {
    Subject {
        guest: guest.to_owned(),
        native: false,
        marked: false,
        traps_after: None,
        name: "guest".to_owned(),
        input: GuestInput::default(),
        tells_output: false,
        directory,
        program: String::new(),
        code: None,
        engine: scenario::Engine::usual().opaque().unwrap_or_default(),
        limits: Limits::default(),
    }
}

fn nanoseconds(pass: &Iteration, phase: Phase) -> f64 {
    pass.timed.iter().find(|timed| timed.phase == phase).map_or(f64::NAN, |timed| timed.mean_ns())
}

/// A guest that marks many times, by `call`.
fn marking(import: &str, start: &str, end: &str) -> anyhow::Result<Guest> {
    Guest::new(&format!(
        r#"(module {import} (memory (export "memory") 1)
            (func (export "_start") (local $left i32)
                (local.set $left (i32.const {MARKS}))
                {start}
                (loop $again {end} (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))))"#
    ))
}

fn marks(criterion: &mut Criterion) -> anyhow::Result<()> {
    let clock = |mark: u64| format!("(drop (call $clock (i32.const 1) (i64.const {mark}) (i32.const 0)))");
    let by_clock = marking(
        r#"(import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))"#,
        &clock(MARK_START),
        &clock(MARK_END),
    )?;
    let by_bench = marking(
        r#"(import "bench" "start" (func $start)) (import "bench" "end" (func $end))"#,
        "(call $start)",
        "(call $end)",
    )?;
    for (name, guest) in [("mark: clock_time_get", by_clock), ("mark: bench.end", by_bench)] {
        criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|count| {
                // From the first mark to the last: so many host calls.
                let each = |_| nanoseconds(&guest.pass(), Phase::Run) / MARKS as f64;
                let passes = count.div_ceil(MARKS).max(1);
                let mean_ns = (0..passes).map(each).sum::<f64>() / passes as f64;
                Duration::from_nanos(1).mul_f64(mean_ns * count as f64)
            });
        });
    }
    criterion.bench_function("clock: Instant::now", |bencher| bencher.iter(Instant::now));
    Ok(())
}

/// wasmtime without anything of wasiscope's.
fn bare(engine: &Engine, module: &InstancePre<()>) -> wasmtime::Result<(f64, f64)> {
    let mut store = Store::new(engine, ());
    let start = Instant::now();
    let instance = module.instantiate(&mut store)?;
    let instantiate = start.elapsed();
    let main = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
    let start = Instant::now();
    main.call(&mut store, ())?;
    let run = start.elapsed();
    Ok((instantiate.as_nanos() as f64, run.as_nanos() as f64))
}

/// Passes of the worker against passes of a bare loop, A B B A as in a comparison; prints the ratios.
fn overhead() -> anyhow::Result<()> {
    const UNITS: usize = 40;
    const QUADS: usize = 25;
    let guest = Guest::new(
        r#"(module (memory (export "memory") 1) (data (i32.const 0) "some data")
            (func (export "_start") (local $left i32) (local $x i64)
                (local.set $left (i32.const 100000))
                (loop $again
                    (local.set $x (i64.mul (i64.add (local.get $x) (i64.const 7)) (i64.const 6364136223846793005)))
                    (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
                (i64.store (i32.const 8) (local.get $x))))"#,
    )?;
    let wasmtime = |error: wasmtime::Error| anyhow::anyhow!("{error:#}");
    let engine = Engine::new(&Config::new()).map_err(wasmtime)?;
    let module = Module::from_binary(&engine, &guest.wasm).map_err(wasmtime)?;
    let module = Linker::new(&engine).instantiate_pre(&module).map_err(wasmtime)?;
    let mut units = [Vec::new(), Vec::new()];
    for _ in 0..UNITS {
        let (mut base, mut new) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
        for quad in 0..QUADS {
            for position in 0..4 {
                let worker = (position == 1 || position == 2) ^ (quad % 2 == 1);
                if worker {
                    let pass = guest.pass();
                    new[0].push(nanoseconds(&pass, Phase::Instantiate));
                    new[1].push(nanoseconds(&pass, Phase::Run));
                } else {
                    let (instantiate, run) = bare(&engine, &module).map_err(wasmtime)?;
                    base[0].push(instantiate);
                    base[1].push(run);
                }
            }
        }
        for (units, (base, new)) in units.iter_mut().zip(base.iter().zip(&new)) {
            units.extend(log_ratio(base, new));
        }
    }
    for (name, units) in ["instantiate", "run"].into_iter().zip(&units) {
        let Some(estimate) = Estimate::of(units) else { continue };
        let (low, high) = estimate.interval(0.99);
        let change = |log: f64| units::change(log.exp());
        println!(
            "worker against a bare wasmtime loop: {name} {} ({} … {})",
            change(estimate.centre),
            change(low),
            change(high)
        );
    }
    Ok(())
}

fn main() -> anyhow::Result<()> {
    // As in a worker: wasmtime-wasi would start a runtime in the middle of things otherwise.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let _entered = runtime.enter();
    let mut criterion = Criterion::default().configure_from_args();
    marks(&mut criterion)?;
    criterion.final_summary();
    overhead()
}
