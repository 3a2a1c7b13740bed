//! The machine in a report: what it is, and what of it the run was allowed to use.

use serde::{Deserialize, Serialize};

use crate::record::Throttled;
use crate::units;

/// The machine that was run on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Machine {
    /// What its owner calls it (`WASISCOPE_MACHINE`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Operating system.
    pub os: String,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Processor architecture.
    pub arch: String,
    /// Processor model.
    pub cpu: Option<String>,
    /// Processors that this process may use.
    pub cpus: usize,
    /// Memory of the machine.
    pub memory_bytes: Option<u64>,
    /// Whether it is a virtual machine.
    pub virtualized: Option<bool>,
    /// Share of the run's processor time that the hypervisor gave to others.
    pub steal_ratio: Option<f64>,
    /// How the processor's frequency is governed; `None` where the kernel does not say, as in most virtual machines.
    #[serde(default)]
    pub frequency_governor: Option<String>,
    /// Whether each worker was kept on one processor.
    #[serde(default)]
    pub pinned: bool,
    /// What of it the run was allowed to use.
    #[serde(default, skip_serializing_if = "MachineLimits::is_empty")]
    pub limits: MachineLimits,
    /// The kind of container that the run was in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The namespaces of the run that were not the machine's own: `user`, `pid`, `time`, `cgroup`, `mount`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
}

/// What a run was allowed to use of its machine, where that is less than all of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct MachineLimits {
    /// Processors of the machine, when the run was not allowed to use them all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpus_online: Option<usize>,
    /// Processors' worth of time that its cgroup was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_quota: Option<f64>,
    /// How often that quota stopped it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub throttled: Option<Throttled>,
    /// Memory that its cgroup was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Address space of each of its processes (`ulimit -v`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address_space_bytes: Option<u64>,
}

impl MachineLimits {
    /// Whether the run was allowed all of the machine.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Its quota of processor time and what that did, in words; `None` without one.
    #[must_use]
    pub fn quota_text(&self) -> Option<String> {
        let quota = self.cpu_quota?;
        let stopped = match self.throttled {
            Some(Throttled { periods: 0, .. }) => ", which never stopped it".to_owned(),
            Some(Throttled { periods, time_us }) => {
                format!(", which stopped it in {periods} periods, for {}", units::duration(time_us as f64 * 1_000.0))
            }
            None => String::new(),
        };
        Some(format!("{quota:.2} processors{stopped}"))
    }
}

impl Machine {
    /// By what machines are told apart: the name, or what is inside. A kernel update does not make it a different machine.
    #[must_use]
    pub fn label(&self) -> String {
        if let Some(name) = &self.name {
            return name.clone();
        }
        let cpu = self.cpu.as_deref().unwrap_or("unknown processor");
        // As it is sold: firmware keeps some of it, and not always the same.
        let memory = self.memory_bytes.map(|bytes| format!(", {:.0} GiB", bytes as f64 / f64::from(1 << 30)));
        // Half a processor is another machine than a whole one.
        let quota = self.limits.cpu_quota.map(|quota| format!(", quota of {quota:.2} processors"));
        format!(
            "{} × {cpu}, {}, {}{}{}",
            self.cpus,
            self.arch,
            self.os,
            memory.unwrap_or_default(),
            quota.unwrap_or_default()
        )
    }

    /// What stood between the run and all of the machine, as names and values for a table.
    #[must_use]
    pub fn restrictions(&self) -> Vec<(&'static str, String)> {
        let MachineLimits { cpus_online, cpu_quota: _, throttled: _, memory_bytes, address_space_bytes } = &self.limits;
        let cpus = cpus_online.map(|online| format!("{} of {online}", self.cpus));
        let namespaces = (!self.namespaces.is_empty()).then(|| self.namespaces.join(", "));
        let lines = [
            ("processors that the run might use", cpus),
            ("quota of processor time", self.limits.quota_text()),
            ("memory that the run might use", memory_bytes.map(units::bytes)),
            ("address space of each process", address_space_bytes.map(units::bytes)),
            ("container", self.container.clone()),
            ("namespaces of its own", namespaces),
        ];
        lines.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::fixtures::machine;

    use super::*;

    #[test]
    fn a_report_without_limits_is_as_it_was_before_there_were_any() {
        let json = serde_json::to_value(machine(None)).expect("plain data");
        for new in ["limits", "container", "namespaces"] {
            assert!(json.get(new).is_none(), "{json}");
        }
        assert_eq!(serde_json::from_value::<Machine>(json).expect("our own"), machine(None));
        assert_eq!(machine(None).restrictions(), []);
    }

    #[test]
    fn a_quota_makes_another_machine_of_it() {
        let mut small = machine(None);
        small.limits.cpu_quota = Some(0.2);
        small.limits.throttled = Some(Throttled { periods: 31, time_us: 2_400_000 });
        assert_ne!(small.label(), machine(None).label());
        let json = serde_json::to_string(&small).expect("plain data");
        assert_eq!(serde_json::from_str::<Machine>(&json).expect("our own"), small);
        let [(name, text)] = &small.restrictions()[..] else { panic!("one line: {:?}", small.restrictions()) };
        assert!(*name == "quota of processor time" && text.contains("31 periods") && text.contains("2.40 s"), "{text}");
    }
}
