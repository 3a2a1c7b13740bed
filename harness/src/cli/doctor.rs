//! `wasiscope doctor`.

mod surroundings;

use std::fmt::Write;
use std::fs;
use std::path::Path;

use clap::Args;
use procfs::{Current, LoadAverage};
use serde::Serialize;

use super::{Exit, ListFormat, print};
use crate::capture::ebpf::EbpfCapture;
use crate::capture::{Capture, CaptureError, PipelineOptions};
use crate::execute::source::kernel_options;
use crate::interrupt::Interrupt;
use crate::kinds::pipeline::{self, Calls, Wake};
use crate::machine;
use crate::places::Places;
use crate::reference;
use crate::runner;
use crate::scratch;
use crate::worker;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ListFormat,
}

/// One thing that was looked at.
#[derive(Debug, Serialize)]
struct Finding {
    what: &'static str,
    ok: bool,
    /// Whether most people do without it.
    optional: bool,
    detail: String,
    /// What to do about it; `None` when all is well.
    mend: Option<String>,
}

impl Finding {
    fn good(what: &'static str, detail: impl Into<String>) -> Self {
        Self { what, ok: true, optional: false, detail: detail.into(), mend: None }
    }

    fn bad(what: &'static str, detail: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { what, ok: false, optional: false, detail: detail.into(), mend: Some(mend.into()) }
    }
}

pub(super) fn run(places: &Places, arguments: &Arguments) -> anyhow::Result<Exit> {
    let findings = findings(places);
    let text = match arguments.format {
        ListFormat::Json => serde_json::to_string_pretty(&findings)? + "\n",
        ListFormat::Table => findings.iter().fold(String::new(), |mut text, finding| {
            let mark = match (finding.ok, finding.optional) {
                (true, _) => "ok  ",
                (false, true) => "none",
                (false, false) => "MISS",
            };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{mark}  {:<22} {}", finding.what, finding.detail);
            if let Some(mend) = &finding.mend {
                let _ = writeln!(text, "      {:<22} → {mend}", "");
            }
            text
        }),
    };
    print(&text)?;
    Ok(Exit::Done)
}

fn findings(places: &Places) -> Vec<Finding> {
    let mut findings = vec![
        guest(places),
        confinement(),
        to_build(places, "rustc"),
        to_build(places, "cargo"),
        target(places, "wasm32-unknown-unknown"),
        target(places, "wasm32-wasip1"),
        optional(
            places,
            "git",
            "--version",
            "only `compare`, `bisect` and `history` of revisions need it: install git",
        ),
        optional(
            places,
            "cargo-nextest",
            "--version",
            "only tests need it: cargo install cargo-nextest --locked (ci/setup does it)",
        ),
        optional(places, "go", "version", "ci/setup --go brings it; without it the flavour go is skipped"),
        optional(places, "tinygo", "version", "install it from https://tinygo.org; without it its flavour is skipped"),
        checkout(places),
        state(places),
        kernel_types(),
    ];
    findings.extend(surroundings::findings());
    findings.extend(capture());
    findings.push(noise());
    findings
}

/// Starts a worker and runs the reference guest in it, as every run does.
fn guest(places: &Places) -> Finding {
    const WHAT: &str = "a guest";
    if !Path::new("/proc/self/exe").exists() {
        let why = "there is no /proc, without which no worker can be started or looked at";
        return Finding::bad(WHAT, why, "mount -t proc proc /proc");
    }
    // Looking leaves nothing behind: where no run has made the folder for results, this does not either.
    let scratch = if places.state.is_dir() { scratch::create(&places.state) } else { tempfile::tempdir() };
    let ran = scratch.map_err(anyhow::Error::from).and_then(|scratch| {
        let prepared = reference::prepare(scratch.path(), 1)?;
        let mut workers = runner::workers(&Interrupt::on_signals()?);
        Ok(runner::facts_of(&mut workers, &prepared, scratch.path()).1)
    });
    match ran {
        Ok(outcome) if outcome.expected => Finding::good(WHAT, "runs in a worker: `wasiscope run FILE.wasm` works"),
        Ok(outcome) => Finding::bad(WHAT, outcome.detail.unwrap_or_default(), "the reason is the worker's own"),
        Err(error) => {
            Finding::bad(WHAT, format!("{error:#}"), "name a folder that can be written with --root, or with TMPDIR")
        }
    }
}

/// What stands between a guest that has broken out of wasm and the machine.
fn confinement() -> Finding {
    const WHAT: &str = "workers are confined";
    match worker::confinement() {
        Some(true) => Finding::good(WHAT, "no files but the guest's folders, no network, no other process (Landlock)"),
        Some(false) => Finding {
            optional: true,
            ..Finding::bad(WHAT, "in part: this kernel's Landlock is older", "Linux 6.12 or newer knows all of it")
        },
        None => Finding {
            optional: true,
            ..Finding::bad(
                WHAT,
                "by wasm and without capabilities, not by Landlock",
                "use a kernel with CONFIG_SECURITY_LANDLOCK=y and landlock in its lsm= list",
            )
        },
    }
}

/// What only building guests needs.
fn to_build(places: &Places, program: &'static str) -> Finding {
    match machine::first_line(program, &["--version"], &places.root) {
        Some(version) => Finding::good(program, version),
        None => Finding::bad(
            program,
            "not on PATH, or not for this user: no guest can be built, ready .wasm files can be run",
            "put it on PATH, or install Rust with rustup (https://rustup.rs), then run ci/setup",
        ),
    }
}

/// What a flavour needs that most people do without: its absence is nothing to mend.
fn optional(places: &Places, program: &'static str, argument: &str, note: &str) -> Finding {
    // cargo-nextest answers only as a subcommand.
    let arguments: &[&str] = if program == "cargo-nextest" { &["nextest", argument] } else { &[argument] };
    match machine::first_line(program, arguments, &places.root) {
        Some(version) => Finding::good(program, version),
        None => Finding { optional: true, ..Finding::bad(program, "not there", note) },
    }
}

fn target(places: &Places, target: &'static str) -> Finding {
    let libraries = machine::first_line("rustc", &["--print", "target-libdir", "--target", target], &places.root);
    let installed =
        libraries.and_then(|folder| fs::read_dir(folder).ok()).is_some_and(|mut files| files.next().is_some());
    if installed {
        Finding::good(target, "standard library installed")
    } else if machine::first_line("rustc", &["--version"], &places.root).is_none() {
        Finding::bad(target, "without rustc nobody knows", "see rustc")
    } else {
        Finding::bad(target, "no standard library", format!("rustup target add {target} (`wasiscope run` does it)"))
    }
}

fn checkout(places: &Places) -> Finding {
    let (root, scenarios) = (places.root.display(), places.scenarios());
    if scenarios.is_dir() {
        Finding::good("checkout", root.to_string())
    } else {
        let detail = format!("no scenarios/ in {root}: only guests named by their path can be run");
        Finding::bad("checkout", detail, "run inside a checkout or a project with scenarios/, or name it with --root")
    }
}

fn state(places: &Places) -> Finding {
    let detail = places.state.display().to_string();
    if places.state == places.shared_state {
        Finding::good("results go to", detail)
    } else {
        let why = format!("{} cannot be written: using {detail}", places.shared_state.display());
        Finding {
            mend: Some("chown the checkout, or name a file with --out".to_owned()),
            ..Finding::good("results go to", why)
        }
    }
}

fn kernel_types() -> Finding {
    let path = Path::new("/sys/kernel/btf/vmlinux");
    if path.exists() {
        Finding::good("kernel type data (BTF)", path.display().to_string())
    } else if !Path::new("/sys/kernel").exists() {
        Finding::bad("kernel type data (BTF)", "/sys is not mounted", "mount -t sysfs sysfs /sys")
    } else {
        Finding::bad("kernel type data (BTF)", "not there", "use a kernel built with CONFIG_DEBUG_INFO_BTF=y")
    }
}

/// Loads and attaches every kernel program, each on its own.
fn capture() -> Vec<Finding> {
    let probed = EbpfCapture::load(&kernel_options()).and_then(|mut capture| {
        capture.arm()?;
        let programs = capture.programs();
        capture.disarm()?;
        Ok((programs?, flows(&mut capture)))
    });
    let (programs, flows) = match probed {
        Ok(probed) => probed,
        Err(error) => return vec![Finding::bad("live capture", error.to_string(), privileges())],
    };
    let attached = programs.iter().filter(|program| program.unavailable.is_none()).count();
    let mut findings = vec![Finding::good("live capture", format!("{attached} kernel programs load and attach"))];
    for program in programs {
        let blind = program.blind_to.map(|what| format!("blind to {what}"));
        if let Some(reason) = program.unavailable.or(blind) {
            let detail = format!("{}: {reason}", program.name);
            findings.push(Finding::bad("  kernel program", detail, "nothing but a newer kernel; all else is counted"));
        }
    }
    findings.push(match flows {
        Ok(()) => Finding::good("flows of events", "their kernel programs load and attach: kind `pipeline` can run"),
        Err(error) => Finding {
            optional: true,
            ..Finding::bad("flows of events", error.to_string(), "only scenarios of kind `pipeline` need them")
        },
    });
    findings
}

/// Loads and attaches the programs of a flow of events, both of those that take turns.
fn flows(capture: &mut EbpfCapture) -> Result<(), CaptureError> {
    let options = PipelineOptions { calls: Calls::of(&[]), ring_bytes: pipeline::RING_BYTES, wake: Wake::default() };
    capture.pipeline(&options)?.swap()
}

/// What stands between this very binary and what it needs; mostly there are two ways to give it that.
fn privileges() -> String {
    if machine::surroundings::namespaces().iter().any(|name| name == "user") {
        return "outside of the user namespace, or in a container that is not rootless".to_owned();
    }
    if machine::surroundings::is_filtered() {
        return "in a container: --cap-add BPF --cap-add PERFMON and a seccomp profile that allows bpf(2), or --privileged".to_owned();
    }
    let own = std::env::current_exe().unwrap_or_else(|_| "wasiscope".into());
    let own = own.display();
    format!("sudo {own} run …, or once: sudo setcap cap_bpf,cap_perfmon+ep {own}")
}

fn noise() -> Finding {
    let busy = LoadAverage::current().map_or(0.0, |load| load.one);
    let cpus = machine::processor::usable();
    let detail = format!("load {busy} on {cpus} processors");
    if f64::from(busy) < cpus as f64 / 2.0 {
        Finding::good("noise", detail)
    } else {
        Finding::bad("noise", detail, "wait until the machine is idle, or expect wide intervals")
    }
}
