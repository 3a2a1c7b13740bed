//! Where a run is limited or apart from the machine, it works all the same, or says what is in its way: quotas of cgroups,
//! namespaces, filters, a small address space. Needs root, as every `live_…` test; cgroups are made and removed.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::{WASISCOPE, file, guest, spin, syscalls};
use serde_json::Value;
use wasiscope::before_exec::BeforeExec;

/// Marks, and a write of one byte between them.
const WRITES: &str = "
    (i32.store (i32.const 4) (i32.const 1))
    (drop (call $clock (i32.const 1) (i64.const 0x5741534953434f01) (i32.const 512)))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 520)))
    (drop (call $clock (i32.const 1) (i64.const 0x5741534953434f02) (i32.const 512)))";

const ITERATIONS: u64 = 3;

/// Seven writes between its marks, then a trap.
fn kernels_guest() -> Vec<u8> {
    wat::parse_file(common::root().join("ci/kernels.wat")).unwrap()
}

/// A folder with a report in it.
struct Ran {
    folder: tempfile::TempDir,
    output: Output,
}

impl Ran {
    /// `[BEFORE…] wasiscope run GUEST ARGUMENTS…`, one worker.
    fn new(before: &[&str], guest: &[u8], arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = file(&folder, "guest.wasm", guest);
        let mut command = after(before);
        command.current_dir(folder.path()).args(["run", &path, "--out", "report.json", "--processes", "1"]);
        command.args(["--iterations", &ITERATIONS.to_string()]).args(arguments);
        let output = command.output().unwrap();
        Self { folder, output }
    }

    fn report(&self) -> Value {
        let stderr = String::from_utf8_lossy(&self.output.stderr);
        let json = fs::read(self.folder.path().join("report.json")).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        serde_json::from_slice(&json).unwrap()
    }

    fn case(&self) -> Value {
        self.report()["scenarios"][0]["cases"][0].clone()
    }
}

/// wasiscope, started through another program.
fn after(before: &[&str]) -> Command {
    match before {
        [] => Command::new(WASISCOPE),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(WASISCOPE);
            command
        }
    }
}

/// What `doctor` finds, by name.
fn doctor(mut command: Command) -> impl Fn(&str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let output = command.current_dir(folder.path()).args(["doctor", "--format", "json"]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    move |what| {
        let found = findings.as_array().unwrap().iter().find(|finding| finding["what"] == what);
        found.unwrap_or_else(|| panic!("no {what}: {findings}")).clone()
    }
}

/// A cgroup of a test's own, removed at the end.
struct Cgroup {
    folder: PathBuf,
    is_v2: bool,
}

impl Cgroup {
    /// Below the root of `controller`, wherever this machine has it.
    fn new(controller: &str) -> Self {
        let v1 = PathBuf::from("/sys/fs/cgroup").join(controller);
        let is_v2 = !v1.join("tasks").exists();
        let root = if is_v2 { PathBuf::from("/sys/fs/cgroup") } else { v1 };
        if is_v2 {
            fs::write(root.join("cgroup.subtree_control"), format!("+{controller}")).expect("the controller is there");
        }
        let folder = root.join(format!("wasiscope-test-{controller}-{}", std::process::id()));
        fs::create_dir(&folder).expect("cgroups can be made");
        Self { folder, is_v2 }
    }

    fn set(&self, file: &str, value: &str) {
        fs::write(self.folder.join(file), value).unwrap();
    }

    /// A shell that enters it and becomes what follows.
    fn shell(&self) -> [String; 4] {
        let enter = format!("echo $$ > {} && exec \"$@\"", self.folder.join("cgroup.procs").display());
        ["sh", "-c", &enter, "sh"].map(str::to_owned)
    }

    fn value(&self, file: &str, key: &str) -> u64 {
        let text = fs::read_to_string(self.folder.join(file)).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.trim().parse().unwrap()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let gone = || fs::remove_dir(&self.folder).is_ok();
        if !std::thread::panicking() {
            common::wait_until("the cgroup is empty", gone);
        } else {
            gone();
        }
    }
}

#[test]
fn live_a_quota_of_processor_time_is_in_the_report_and_disturbs_what_it_stops() {
    let cgroup = Cgroup::new("cpu");
    if cgroup.is_v2 {
        cgroup.set("cpu.max", "20000 100000");
    } else {
        cgroup.set("cpu.cfs_period_us", "100000");
        cgroup.set("cpu.cfs_quota_us", "20000");
    }
    let shell = cgroup.shell();
    let shell: Vec<&str> = shell.iter().map(String::as_str).collect();
    // Longer than the quota of a period lasts.
    let spinning = wat::parse_str(spin(200_000_000)).unwrap();
    let ran = Ran::new(&shell, &spinning, &["--capture", "off"]);
    let limits = &ran.report()["machine"]["limits"];
    assert_eq!(limits["cpu_quota"], 0.2);
    let all = cgroup.value("cpu.stat", "nr_throttled ");
    let of_run = limits["throttled"]["periods"].as_u64().unwrap();
    let of_case = ran.case()["disturbance"]["throttled"]["periods"].as_u64().unwrap();
    assert!(0 < of_case && of_case <= of_run && of_run <= all, "{of_case} of {of_run} of {all}");
    assert!(limits["throttled"]["time_us"].as_u64().unwrap() > 0);
    assert!(ran.case()["disturbance"]["note"].is_string());

    let finding = doctor(after(&shell))("processors");
    assert!(finding["ok"] == false && finding["detail"].as_str().unwrap().contains("0.20"), "{finding}");
    let outside = Ran::new(&[], &guest(WRITES), &["--capture", "off"]);
    assert_ne!(outside.report()["machine"]["limits"]["cpu_quota"], 0.2, "that was the cgroup's");
    assert_ne!(outside.report()["machine"]["limits"]["throttled"]["periods"], of_run);
}

#[test]
fn live_a_limit_of_memory_is_in_the_report_and_said_by_doctor() {
    const BYTES: u64 = 512 << 20;
    let cgroup = Cgroup::new("memory");
    cgroup.set(if cgroup.is_v2 { "memory.max" } else { "memory.limit_in_bytes" }, &BYTES.to_string());
    let shell = cgroup.shell();
    let shell: Vec<&str> = shell.iter().map(String::as_str).collect();
    let ran = Ran::new(&shell, &guest(WRITES), &["--capture", "off"]);
    let machine = &ran.report()["machine"];
    assert_eq!(machine["limits"]["memory_bytes"], BYTES);
    assert!(machine["memory_bytes"].as_u64().is_some_and(|bytes| bytes > BYTES), "the machine has what it has");
    assert!(doctor(after(&shell))("memory")["detail"].as_str().unwrap().contains("512 MiB"));
}

#[test]
fn live_processors_that_a_run_may_not_use_are_counted() {
    let cpu = wasiscope::machine::processors()[0].to_string();
    let before = ["taskset", "-c", &cpu];
    let report = Ran::new(&before, &guest(WRITES), &["--capture", "off"]).report();
    assert_eq!(report["machine"]["cpus"], 1);
    let online = fs::read_to_string("/proc/cpuinfo").unwrap().matches("processor\t:").count();
    let left = &report["machine"]["limits"]["cpus_online"];
    if online > 1 {
        assert_eq!(*left, online);
    } else {
        assert!(left.is_null(), "{left}");
    }
    assert!(doctor(after(&before))("processors")["detail"].as_str().unwrap().starts_with('1'));
}

/// Kernel programs read the kernel's clock, workers that of their time namespace. What the kernel tells of an iteration must lie within its
/// phases all the same, whichever way the namespace's clock is off.
#[test]
fn live_in_a_time_namespace_the_kernel_and_the_worker_mean_the_same_moment() {
    let uptime = fs::read_to_string("/proc/uptime").unwrap();
    let half = uptime.split('.').next().unwrap().parse::<i64>().unwrap() / 2;
    for offset_s in [1_000_000, -half] {
        let offset = offset_s.to_string();
        let before = ["unshare", "--time", "--monotonic", &offset, "--fork"];
        let ran = Ran::new(&before, &guest(WRITES), &["--capture", "on", "--trace", "trace.json"]);
        assert_eq!(ran.output.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.output.stderr));
        assert!(ran.report()["machine"]["namespaces"].as_array().unwrap().contains(&"time".into()));
        let case = ran.case();
        let spawn = case["measurements"].as_array().unwrap().iter().find(|one| one["metric"] == "phase.spawn").unwrap();
        // A minute is longer than any start, and shorter than either offset.
        assert!(spawn["summary"]["median"].as_f64().is_some_and(|ns| 0.0 < ns && ns < 60e9), "{spawn}");
        let timeline = &case["timeline"];
        let spans = timeline["spans"].as_array().unwrap();
        let (first, last) = (&spans[0]["start_ns"], &spans.last().unwrap()["end_ns"]);
        let (first, last) = (first.as_u64().unwrap(), last.as_u64().unwrap());
        let events: Vec<u64> =
            timeline["events"].as_array().unwrap().iter().filter_map(|event| event["at_ns"].as_u64()).collect();
        assert!(!events.is_empty(), "{timeline}");
        let inside = events.iter().filter(|at_ns| (first..=last).contains(at_ns)).count();
        assert!(
            inside * 2 > events.len(),
            "{inside} of {} events between {first} and {last}: {events:?}",
            events.len()
        );
        assert!(doctor(after(&before))("runs in")["detail"].as_str().unwrap().contains("time"));
    }
}

#[test]
fn live_in_a_pid_namespace_counts_are_exact_whosever_proc_is_mounted() {
    for options in [&["--pid", "--fork"][..], &["--pid", "--fork", "--mount-proc"]] {
        let before: Vec<&str> = ["unshare"].iter().chain(options).copied().collect();
        let ran = Ran::new(&before, &kernels_guest(), &["--expect-trap", "--capture", "on"]);
        assert_eq!(ran.output.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.output.stderr));
        assert_eq!(syscalls(&ran.case(), "run", "pwrite64"), 7 * ITERATIONS);
        assert!(ran.report()["machine"]["namespaces"].as_array().unwrap().contains(&"pid".into()));
    }
}

/// What a run says of a kernel that it may not watch, which is no reason not to run.
fn unwatched(before: &[&str]) -> String {
    let ran = Ran::new(before, &guest(WRITES), &[]);
    assert_eq!(ran.output.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.output.stderr));
    let report = ran.report();
    assert_eq!((&report["capture"]["status"], &ran.case()["outcome"]["status"]), (&"unavailable".into(), &"ok".into()));
    assert_eq!(Ran::new(before, &guest(WRITES), &["--capture", "on"]).output.status.code(), Some(4));
    let finding = doctor(after(before))("live capture");
    assert!(finding["ok"] == false && finding["mend"].is_string(), "{finding}");
    report["capture"]["reason"].as_str().unwrap().to_owned()
}

#[test]
fn live_root_of_a_user_namespace_is_told_why_it_may_not_watch() {
    let before = ["unshare", "--user", "--map-root-user"];
    let reason = unwatched(&before);
    assert!(reason.contains("user namespace"), "{reason}");
    assert!(doctor(after(&before))("runs in")["detail"].as_str().unwrap().contains("user"));
}

#[test]
fn live_where_seccomp_refuses_bpf_the_filter_is_named() {
    /// Becomes `sh -c …` under a filter that answers bpf(2) with EPERM, as container managers' filters do.
    fn filtered(command: &mut Command) -> &mut Command {
        let statement = |code: u32, jump_if, jump_else, value: u32| libc::sock_filter {
            code: u16::try_from(code).unwrap(),
            jt: jump_if,
            jf: jump_else,
            k: value,
        };
        let filter = [
            // The number of the call is the first field of `struct seccomp_data`.
            statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0, 0, 0),
            statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, u32::try_from(libc::SYS_bpf).unwrap()),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned()),
            statement(libc::BPF_RET | libc::BPF_K, 0, 0, libc::SECCOMP_RET_ALLOW),
        ];
        let install = move || {
            let program = libc::sock_fprog { len: 4, filter: filter.as_ptr().cast_mut() };
            // SAFETY: the filter lives in this closure, and the kernel copies it.
            let result = unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) };
            if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
        };
        // SAFETY: between fork and exec it makes one system call.
        unsafe { BeforeExec::default().then(install) }.apply(command);
        command
    }
    let folder = tempfile::tempdir().unwrap();
    let path = file(&folder, "guest.wasm", guest(WRITES));
    let mut run = Command::new(WASISCOPE);
    run.current_dir(folder.path()).args(["run", &path, "--out", "report.json"]);
    let output = filtered(&mut run).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&fs::read(folder.path().join("report.json")).unwrap()).unwrap();
    assert_eq!(report["capture"]["status"], "unavailable");
    assert!(report["capture"]["reason"].as_str().unwrap().contains("seccomp"), "{}", report["capture"]);
    let mut looked_at = Command::new(WASISCOPE);
    filtered(&mut looked_at);
    let finding = doctor(looked_at);
    assert!(finding("live capture")["mend"].as_str().unwrap().contains("seccomp"));
    assert!(finding("runs in")["detail"].as_str().unwrap().contains("seccomp"));
}

#[test]
fn live_with_proc_that_cannot_be_written_all_is_as_ever() {
    let shell = "mount -o remount,ro,bind /proc && exec \"$@\"";
    let before = ["unshare", "--mount", "sh", "-c", shell, "sh"];
    let ran = Ran::new(&before, &guest(WRITES), &["--capture", "on"]);
    assert_eq!(ran.output.status.code(), Some(0), "{}", String::from_utf8_lossy(&ran.output.stderr));
    assert_eq!(ran.report()["capture"]["status"], "live");
    assert!(ran.report()["machine"]["namespaces"].as_array().unwrap().contains(&"mount".into()));
}

#[test]
fn live_without_sys_the_kernel_is_not_watched_and_the_mount_is_named() {
    let reason = unwatched(&["unshare", "--mount", "sh", "-c", "umount --lazy /sys && exec \"$@\"", "sh"]);
    assert!(reason.contains("/sys"), "{reason}");
}

#[test]
fn live_a_container_is_named() {
    assert!(Path::new("/proc/self/ns").exists());
    let mut command = Command::new(WASISCOPE);
    command.env("KUBERNETES_SERVICE_HOST", "10.0.0.1");
    assert!(doctor(command)("runs in")["detail"].as_str().unwrap().contains("kubernetes"));
}

#[test]
fn live_a_small_address_space_is_named_by_doctor_and_in_the_report() {
    let before = ["sh", "-c", "ulimit -v 3000000 && exec \"$@\"", "sh"];
    let ran = Ran::new(&before, &guest(WRITES), &["--capture", "off"]);
    assert_eq!(ran.report()["machine"]["limits"]["address_space_bytes"], 3_000_000_u64 << 10);
    let finding = doctor(after(&before))("address space");
    assert!(finding["ok"] == false && finding["mend"].as_str().unwrap().contains("ulimit -v"), "{finding}");
    // What `doctor` calls enough is enough.
    let before = ["sh", "-c", "ulimit -v 5242880 && exec \"$@\"", "sh"];
    assert_eq!(doctor(after(&before))("address space")["ok"], true);
    assert_eq!(Ran::new(&before, &guest(WRITES), &["--capture", "off"]).case()["outcome"]["status"], "ok");
}
