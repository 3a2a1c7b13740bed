//! Processors: their model, how many there are, which this process may use, and what others took of their time.

use std::fs;

use procfs::{CpuTime, CurrentSI, KernelStats};

/// Jiffies that the hypervisor took from this machine, and all jiffies, since it booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    stolen: u64,
    all: u64,
}

impl CpuTimes {
    /// Now; `None` where `/proc/stat` does not tell.
    #[must_use]
    pub fn now() -> Option<Self> {
        Self::of(&KernelStats::current().ok()?.total)
    }

    fn of(time: &CpuTime) -> Option<Self> {
        let stolen = time.steal?;
        // Without guest time, which is part of user time.
        let others = [time.user, time.nice, time.system, time.idle, time.iowait?, time.irq?, time.softirq?];
        Some(Self { stolen, all: others.iter().sum::<u64>() + stolen })
    }

    /// Share of processor time stolen between `self` and `later`; `None` when no time passed.
    #[must_use]
    pub fn stolen_until(self, later: Self) -> Option<f64> {
        let all = later.all.checked_sub(self.all).filter(|all| *all > 0)?;
        Some(later.stolen.checked_sub(self.stolen)? as f64 / all as f64)
    }
}

/// The processors that this process may use and choose among; none where the kernel does not let it choose.
#[must_use]
pub fn processors() -> Vec<usize> {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else { return Vec::new() };
    // Asking for what is so already changes nothing, and tells whether asking is allowed.
    if rustix::thread::sched_setaffinity(None, &allowed).is_err() {
        return Vec::new();
    }
    (0..rustix::thread::CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu)).collect()
}

/// How many processors this process may use: what its cpuset and its affinity leave. Unlike
/// [`std::thread::available_parallelism`], quotas of time take nothing off.
#[must_use]
pub fn usable() -> usize {
    let allowed = rustix::thread::sched_getaffinity(None).ok();
    let count = allowed.and_then(|allowed| usize::try_from(allowed.count()).ok()).filter(|count| *count > 0);
    count.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}

/// How many processors the machine has online; `None` where the kernel does not say.
#[must_use]
pub fn online() -> Option<usize> {
    let list = fs::read_to_string("/sys/devices/system/cpu/online").ok();
    let listed = || Some(KernelStats::current().ok()?.cpu_time.len()).filter(|count| *count > 0);
    list.and_then(|list| count_of(&list)).or_else(listed)
}

/// Of a list such as `0-3,8`.
fn count_of(list: &str) -> Option<usize> {
    let ranges = list.trim().split(',').map(|range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        last.checked_sub(first)?.checked_add(1)
    });
    ranges.sum::<Option<usize>>()
}

/// The model of this machine's processors, for people; `None` where nothing says it.
#[must_use]
pub fn model(cpuinfo: &str) -> Option<String> {
    // Firmware in the device tree ends its texts with a zero byte.
    let board = || fs::read_to_string("/proc/device-tree/model").ok().map(|text| text.trim_matches('\0').to_owned());
    model_by(cpuinfo, board)
}

fn model_by(cpuinfo: &str, board: impl FnOnce() -> Option<String>) -> Option<String> {
    // x86, some Arm, LoongArch; MIPS; POWER and 32-bit Arm; s390.
    let named = ["model name", "Model Name", "cpu model", "cpu", "Processor"];
    let named = named.into_iter().find_map(|key| value_of(cpuinfo, key)).filter(|name| !name.is_empty());
    named.or_else(|| arm(cpuinfo)).or_else(|| riscv(cpuinfo)).or_else(|| board().filter(|board| !board.is_empty()))
}

/// 64-bit Arm gives numbers alone. Cores of several kinds are named in the order of their appearance.
fn arm(cpuinfo: &str) -> Option<String> {
    let mut names: Vec<String> = Vec::new();
    let mut implementer = None;
    for (key, value) in cpuinfo.lines().filter_map(|line| line.split_once(':')) {
        match key.trim() {
            "CPU implementer" => implementer = hexadecimal(value),
            "CPU part" => {
                if let Some(name) = implementer.zip(hexadecimal(value)).map(|(of, part)| arm_part(of, part))
                    && !names.contains(&name)
                {
                    names.push(name);
                }
            }
            _ => {}
        }
    }
    (!names.is_empty()).then(|| names.join(" + "))
}

/// Numbers of `MIDR_EL1`, from Linux's arch/arm64/include/asm/cputype.h and Arm's technical reference manuals.
fn arm_part(implementer: u32, part: u32) -> String {
    let maker = match implementer {
        0x41 => "Arm",
        0x42 => "Broadcom",
        0x43 => "Cavium",
        0x46 => "Fujitsu",
        0x48 => "HiSilicon",
        0x4e => "NVIDIA",
        0x50 => "Applied Micro",
        0x51 => "Qualcomm",
        0x53 => "Samsung",
        0x61 => "Apple",
        0x6d => "Microsoft",
        0xc0 => "Ampere",
        _ => return format!("Arm processor of implementer {implementer:#04x}, part {part:#05x}"),
    };
    let core = match (implementer, part) {
        (0x41, 0xd03) => "Cortex-A53",
        (0x41, 0xd04) => "Cortex-A35",
        (0x41, 0xd05) => "Cortex-A55",
        (0x41, 0xd07) => "Cortex-A57",
        (0x41, 0xd08) => "Cortex-A72",
        (0x41, 0xd09) => "Cortex-A73",
        (0x41, 0xd0a) => "Cortex-A75",
        (0x41, 0xd0b) => "Cortex-A76",
        (0x41, 0xd0c) => "Neoverse-N1",
        (0x41, 0xd0d) => "Cortex-A77",
        (0x41, 0xd40) => "Neoverse-V1",
        (0x41, 0xd41) => "Cortex-A78",
        (0x41, 0xd49) => "Neoverse-N2",
        (0x41, 0xd4f) => "Neoverse-V2",
        (0x41, 0xd84) => "Neoverse-V3",
        (0x41, 0xd8e) => "Neoverse-N3",
        (0x43, 0x0af) => "ThunderX2",
        (0x46, 0x001) => "A64FX",
        (0x48, 0xd01) => "Kunpeng-920",
        (0x6d, 0xd49) => "Azure Cobalt 100",
        (0xc0, 0xac3) => "AmpereOne",
        _ => return format!("{maker} part {part:#05x}"),
    };
    format!("{maker} {core}")
}

fn riscv(cpuinfo: &str) -> Option<String> {
    value_of(cpuinfo, "uarch").or_else(|| value_of(cpuinfo, "isa").map(|isa| format!("RISC-V {isa}")))
}

fn hexadecimal(text: &str) -> Option<u32> {
    u32::from_str_radix(text.trim().strip_prefix("0x")?, 16).ok()
}

/// The value behind `key :` in a file of `/proc`.
///
/// By hand: of `cpuinfo`, procfs loses the order of Arm's cores and cuts values at a colon; of `meminfo`, it reads nothing where a line that it expects
/// is missing, as in gVisor.
pub(super) fn value_of(text: &str, key: &str) -> Option<String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim() == key)
        .map(|(_, value)| value.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use procfs::FromReadSI;

    use super::*;

    #[test]
    fn steal_is_the_eighth_figure_and_guest_time_is_not_counted_twice() {
        let times = |jiffies: &str| {
            let text = format!("cpu  {jiffies}\ncpu0 1 1 1 1\nintr 1 2 3\nctxt 1\nbtime 1\nprocesses 1\n");
            CpuTimes::of(
                &KernelStats::from_read(text.as_bytes(), procfs::current_system_info()).expect("well formed").total,
            )
        };
        let before = times("10 0 10 80 0 0 0 0 5 0").expect("it has stolen time");
        let later = times("20 0 10 160 0 0 0 10 9 0").expect("it has stolen time");
        assert_eq!(before.stolen_until(later), Some(0.1));
        assert_eq!(before.stolen_until(before), None);
        assert_eq!(times("10 0 10 80 0 0 0"), None);
    }

    #[test]
    fn processors_are_counted_from_lists() {
        let counts = ["0-3,8\n", "0\n", "0-63", "", "3-1", "x"].map(count_of);
        assert_eq!(counts, [Some(5), Some(1), Some(64), None, None, None]);
    }

    #[test]
    fn a_processor_without_a_model_name_is_named_by_its_numbers() {
        let none = || None;
        let board = || Some("Raspberry Pi 4 Model B Rev 1.4".to_owned());
        let graviton = "processor\t: 0\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU part\t: 0xd40\n\nprocessor\t: 1\n\
                        CPU implementer\t: 0x41\nCPU part\t: 0xd40\n";
        let little_and_big = "CPU implementer : 0x41\nCPU part : 0xd03\nCPU implementer : 0x41\nCPU part : 0xd09\n";
        let cases = [
            ("model name\t: Intel(R) Xeon(R)\nCPU part : 0xd40\n", "Intel(R) Xeon(R)"),
            (graviton, "Arm Neoverse-V1"),
            (little_and_big, "Arm Cortex-A53 + Arm Cortex-A73"),
            ("CPU implementer : 0x61\nCPU part : 0x022\n", "Apple part 0x022"),
            ("CPU implementer : 0x99\nCPU part : 0x1\n", "Arm processor of implementer 0x99, part 0x001"),
            ("cpu\t\t: POWER9, altivec supported\n", "POWER9, altivec supported"),
            ("isa : rv64imafdc\n", "RISC-V rv64imafdc"),
        ];
        for (cpuinfo, name) in cases {
            assert_eq!(model_by(cpuinfo, none).as_deref(), Some(name));
        }
        assert_eq!(model_by("processor : 0\n", board).as_deref(), Some("Raspberry Pi 4 Model B Rev 1.4"));
        assert_eq!(model_by("", none), None);
    }
}
