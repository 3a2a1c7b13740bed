//! The programs and maps of a flow of events into a handler.

use std::fs;
use std::os::fd::{AsFd, AsRawFd};

use aya::Ebpf;
use aya::maps::{Array, Map, MapData, PerCpuArray, ProgramArray};
use aya::programs::RawTracePoint;
use aya::util::nr_cpus;
use syscalls::Sysno;
use wasiscope_ebpf_abi::{JOINT_HOST, JOINT_KERNEL, JointMetrics, PipelineControl};

use super::super::{CaptureError, InheritedMap, Pipeline, PipelineMaps, PipelineOptions};
use super::kernel::{self, Options};
use super::layout;
use super::{not_in_object, refused, with_causes};
use crate::pipeline::{Call, Calls, Wake};

/// The two that take turns.
const STAGES: [&str; 2] = ["pipeline_stage_a", "pipeline_stage_b"];
/// The programs that are attached, and where.
const ATTACHED: [(&str, &str); 2] = [("pipeline_enter", "sys_enter"), ("pipeline_exit", "sys_exit")];

/// Everything of one flow in the kernel.
pub struct EbpfPipeline {
    control: Array<MapData, PipelineControl>,
    joint: PerCpuArray<MapData, JointMetrics>,
    stage: ProgramArray<MapData>,
    generation: Array<MapData, u32>,
    ring: MapData,
    reader: MapData,
    /// Held open for the worker, as the others are.
    _pending: MapData,
    /// The maps that a guest may read, the joint metrics first.
    granted: Vec<InheritedMap>,
    wanted: PipelineControl,
    ring_bytes: u32,
    /// Which stage has its turn, and how often they have taken turns.
    turn: usize,
    generations: u32,
    // Last: what refers to the maps goes before them.
    ebpf: Ebpf,
}

impl EbpfPipeline {
    /// Loads and attaches the programs; no call is an event yet.
    ///
    /// # Errors
    /// When the kernel refuses, or the metrics in the object do not lie where they are looked for.
    pub(super) fn open(options: &Options, wanted: &PipelineOptions) -> Result<Self, CaptureError> {
        check_kernel(
            &rustix::system::uname().release().to_string_lossy(),
            fs::read_to_string(UNPRIVILEGED).ok().as_deref(),
        )?;
        let options = Options { btf: options.btf.clone(), trace_bytes: None, pipeline_bytes: Some(wanted.ring_bytes) };
        let (mut ebpf, _) = kernel::load_object(&options, true)?;
        layout::check_types(kernel::OBJECT)?;
        let joint = take(&mut ebpf, "PIPE_JOINT")?;
        layout::check_map(&joint)?;
        let possible_cpus = nr_cpus().map_err(|(path, error)| CaptureError::Kernel(format!("{path}: {error}")))?;
        let possible_cpus = u32::try_from(possible_cpus).unwrap_or(u32::MAX);
        let pending = take(&mut ebpf, "PIPE_PENDING")?;
        // The joint metrics first.
        let granted = vec![inherited("joint", &joint, Some(possible_cpus))?, inherited("pending", &pending, None)?];
        let mut pipeline = Self {
            control: Array::try_from(Map::Array(take(&mut ebpf, "PIPE_CONTROL")?)).map_err(refused)?,
            joint: PerCpuArray::try_from(Map::PerCpuArray(joint)).map_err(refused)?,
            stage: ProgramArray::try_from(Map::ProgramArray(take(&mut ebpf, "PIPE_STAGE")?)).map_err(refused)?,
            generation: Array::try_from(Map::Array(take(&mut ebpf, "PIPE_GENERATION")?)).map_err(refused)?,
            ring: take(&mut ebpf, "PIPE_EVENTS")?,
            reader: take(&mut ebpf, "PIPE_READER")?,
            _pending: pending,
            granted,
            wanted: control(wanted.calls, wanted.wake),
            ring_bytes: wanted.ring_bytes,
            turn: 1,
            generations: 0,
            ebpf,
        };
        pipeline.swap()?;
        for (name, tracepoint) in ATTACHED {
            let program = pipeline.program(name)?;
            program.load().map_err(|error| unavailable(name, &error))?;
            program.attach(tracepoint).map_err(|error| unavailable(name, &error))?;
        }
        Ok(pipeline)
    }

    fn program(&mut self, name: &str) -> Result<&mut RawTracePoint, CaptureError> {
        let program = self.ebpf.program_mut(name).ok_or_else(|| not_in_object(name))?;
        program.try_into().map_err(|_| not_in_object(name))
    }
}

/// A map as a worker inherits it; of a per-CPU map with the number of CPUs that there can be.
fn inherited(name: &str, map: &MapData, possible_cpus: Option<u32>) -> Result<InheritedMap, CaptureError> {
    let info = map.info().map_err(refused)?;
    let (value_bytes, cpus) = (info.value_size(), possible_cpus.unwrap_or(1));
    Ok(InheritedMap {
        name: name.to_owned(),
        fd: map.fd().as_fd().as_raw_fd(),
        key_bytes: info.key_size(),
        value_bytes,
        entries: info.max_entries(),
        copied_bytes: InheritedMap::copied_bytes(value_bytes, possible_cpus.is_some(), cpus),
    })
}

impl Pipeline for EbpfPipeline {
    fn maps(&self) -> PipelineMaps {
        PipelineMaps {
            ring_fd: self.ring.fd().as_fd().as_raw_fd(),
            ring_bytes: self.ring_bytes,
            reader_fd: self.reader.fd().as_fd().as_raw_fd(),
            granted: self.granted.clone(),
            joint: self.granted[0].clone(),
        }
    }

    fn begin(&mut self, process: u32) -> Result<(), CaptureError> {
        let control = PipelineControl { wanted: process, generator: 0, ..self.wanted };
        self.control.set(0, control, 0).map_err(refused)
    }

    fn end(&mut self) -> Result<(), CaptureError> {
        self.control.set(0, PipelineControl { wanted: 0, generator: 0, ..self.wanted }, 0).map_err(refused)
    }

    fn swap(&mut self) -> Result<(), CaptureError> {
        let next = 1 - self.turn;
        let name = STAGES[next];
        let generation = self.generations;
        // Nobody calls it: it has had no turn since the other one has it.
        self.generation.set(u32::try_from(next).unwrap_or(0), generation, 0).map_err(refused)?;
        let program = self.program(name)?;
        if program.fd().is_ok() {
            program.unload().map_err(refused)?;
        }
        program.load().map_err(|error| unavailable(name, &error))?;
        let fd = program.fd().map_err(refused)?.try_clone().map_err(refused)?;
        self.stage.set(0, &fd, 0).map_err(refused)?;
        self.turn = next;
        self.generations += 1;
        Ok(())
    }

    fn joint(&self) -> Result<JointMetrics, CaptureError> {
        let mut all = JointMetrics::default();
        for entry in [JOINT_KERNEL, JOINT_HOST] {
            self.joint.get(&entry, 0).map_err(refused)?.iter().for_each(|of_cpu| all.add(of_cpu));
        }
        Ok(all)
    }
}

/// Whether `bpf(2)` is forbidden to who has no privileges.
const UNPRIVILEGED: &str = "/proc/sys/kernel/unprivileged_bpf_disabled";

/// The worker reads and writes maps by their descriptors, without privileges. Before Linux 5.19 that setting forbade it.
fn check_kernel(release: &str, setting: Option<&str>) -> Result<(), CaptureError> {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    match setting.map(str::trim) {
        Some(setting) if setting != "0" && version < (5, 19) => Err(CaptureError::Unavailable(format!(
            "Linux {release} forbids workers without privileges to read maps: sysctl kernel.unprivileged_bpf_disabled=0, or Linux 5.19"
        ))),
        _ => Ok(()),
    }
}

fn control(calls: Calls, wake: Wake) -> PipelineControl {
    let wake = match wake {
        Wake::CaughtUp => PipelineControl::WAKE_CAUGHT_UP,
        Wake::Never => PipelineControl::WAKE_NEVER,
        Wake::Asleep => PipelineControl::WAKE_ASLEEP,
    };
    let number = |call: Call| match call {
        Call::Read => Sysno::read,
        Call::Write => Sysno::write,
        Call::Lseek => Sysno::lseek,
        Call::Getppid => Sysno::getppid,
    };
    let numbers = calls.iter().filter_map(|call| u32::try_from(number(call).id()).ok());
    numbers.fold(PipelineControl { wake, ..PipelineControl::default() }, PipelineControl::with_call)
}

fn take(ebpf: &mut Ebpf, name: &str) -> Result<MapData, CaptureError> {
    match ebpf.take_map(name) {
        Some(
            Map::Array(data)
            | Map::PerCpuArray(data)
            | Map::HashMap(data)
            | Map::RingBuf(data)
            | Map::ProgramArray(data),
        ) => Ok(data),
        _ => Err(not_in_object(name)),
    }
}

fn unavailable(name: &str, error: &impl std::error::Error) -> CaptureError {
    CaptureError::Unavailable(format!("program {name}: {}", with_causes(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_kernels_must_let_workers_read_maps() {
        let refused = |release: &str, setting: Option<&str>| check_kernel(release, setting).is_err();
        assert!(refused("5.15.0-91-generic", Some("2\n")));
        assert!(!refused("5.15.0-91-generic", Some("0\n")));
        assert!(!refused("5.19.1", Some("2\n")) && !refused("6.18.0", Some("1")));
        assert!(!refused("5.10.0", None), "a kernel without the setting forbids nothing");
    }
}
