//! The pipeline of events into wasm handlers: what an event is, and the metrics that both sides of it share.

/// What a handler gets for each system call that has returned. Fixed layout, little-endian as all that this runs on; a handler
/// written in any language can rely on it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineEvent {
    /// Counts the events of its CPU, from 1: none is there twice, and none is missing but those that were lost.
    pub sequence: u64,
    /// When the call returned (CLOCK_MONOTONIC, nanoseconds).
    pub at_ns: u64,
    /// How long it took.
    pub duration_ns: u64,
    /// What it returned.
    pub returned: i64,
    /// The thread that called, as the kernel numbers it.
    pub thread: u32,
    /// The number of the call.
    pub call: u32,
    /// The CPU on which it returned.
    pub cpu: u32,
    /// Which of the kernel programs that took turns wrote it, counted from 0.
    pub generation: u32,
}

/// The metrics that kernel, host and guest share, under the names that they have everywhere else. One 64-byte value for each CPU in a map
/// with two entries: [`JOINT_KERNEL`] is written by the kernel program alone and [`JOINT_HOST`] by the host alone, so neither can undo what the
/// other counts. Whoever reads adds both up, over all CPUs.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JointMetrics {
    /// Calls that the kernel program saw return.
    pub events_generated: u64,
    /// Those that found no room in the ring buffer, or no program to write them.
    pub events_lost: u64,
    /// Events that a handler has been called with, however that ended.
    pub wasm_exec_count: u64,
    /// Those of which it ended badly, or that never got as far.
    pub bpf_to_wasm_err: u64,
    /// Events of which the time from the kernel's stamp to the handler's return was taken.
    pub probe_latency_count: u64,
    /// All those times together, in microseconds.
    pub probe_latency_us: u64,
    /// The part of it that is less than a microsecond, in nanoseconds.
    pub probe_latency_rest_ns: u64,
    /// The longest, in nanoseconds.
    pub probe_latency_max_ns: u64,
}

// What the map says of itself must agree with this; see where the object is loaded.
const _: () = assert!(size_of::<JointMetrics>() == 64 && align_of::<JointMetrics>() == 8);
const _: () = assert!(size_of::<PipelineEvent>() == 48 && align_of::<PipelineEvent>() == 8);

/// A field of [`JointMetrics`]: its name and where it lies. All are of 8 bytes.
pub const JOINT_FIELDS: [(&str, usize); 8] = [
    ("events_generated", core::mem::offset_of!(JointMetrics, events_generated)),
    ("events_lost", core::mem::offset_of!(JointMetrics, events_lost)),
    ("wasm_exec_count", core::mem::offset_of!(JointMetrics, wasm_exec_count)),
    ("bpf_to_wasm_err", core::mem::offset_of!(JointMetrics, bpf_to_wasm_err)),
    ("probe_latency_count", core::mem::offset_of!(JointMetrics, probe_latency_count)),
    ("probe_latency_us", core::mem::offset_of!(JointMetrics, probe_latency_us)),
    ("probe_latency_rest_ns", core::mem::offset_of!(JointMetrics, probe_latency_rest_ns)),
    ("probe_latency_max_ns", core::mem::offset_of!(JointMetrics, probe_latency_max_ns)),
];

/// The entry that the kernel program writes.
pub const JOINT_KERNEL: u32 = 0;
/// The entry that the host writes.
pub const JOINT_HOST: u32 = 1;
/// How many there are.
pub const JOINT_ENTRIES: u32 = 2;

impl JointMetrics {
    /// Adds another CPU's, or the other side's.
    pub fn add(&mut self, other: &Self) {
        self.events_generated += other.events_generated;
        self.events_lost += other.events_lost;
        self.wasm_exec_count += other.wasm_exec_count;
        self.bpf_to_wasm_err += other.bpf_to_wasm_err;
        self.probe_latency_count += other.probe_latency_count;
        self.probe_latency_us += other.probe_latency_us;
        self.probe_latency_rest_ns += other.probe_latency_rest_ns;
        self.probe_latency_us += self.probe_latency_rest_ns / 1_000;
        self.probe_latency_rest_ns %= 1_000;
        self.probe_latency_max_ns = self.probe_latency_max_ns.max(other.probe_latency_max_ns);
    }
}

/// System calls that have a bit in [`PipelineControl::calls`].
pub const PIPELINE_CALLS: usize = 512;

/// Whose calls become events, and which.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PipelineControl {
    /// The process, as wasiscope numbers it; 0 for none.
    pub wanted: u32,
    /// The same as the kernel numbers it; written by the program once it has met it.
    pub generator: u32,
    /// When the reader is woken: one of the constants of this type.
    pub wake: u64,
    /// A bit for the number of each call that is wanted.
    pub calls: [u64; PIPELINE_CALLS / 64],
}

impl PipelineControl {
    /// When it has caught up, as the kernel does where nobody says otherwise: whether it sleeps or not.
    pub const WAKE_CAUGHT_UP: u64 = 0;
    /// Never: it looks by itself.
    pub const WAKE_NEVER: u64 = 1;
    /// When it says that it sleeps, in [`ReaderState`].
    pub const WAKE_ASLEEP: u64 = 2;

    /// Wants this call too. Numbers that have no bit are left out.
    #[must_use]
    pub fn with_call(mut self, number: u32) -> Self {
        if let Some(word) = self.calls.get_mut(number as usize / 64) {
            *word |= 1 << (number % 64);
        }
        self
    }
}

/// What the reader says of itself, in memory that it shares with the program: alone on its cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReaderState {
    /// 1 while it sleeps or is about to.
    pub asleep: u64,
    /// Nothing.
    pub padding: [u64; 7],
}

/// What is remembered of a call that has not returned.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pending {
    /// When it was entered; 0 for none.
    pub entered_ns: u64,
    /// Its number.
    pub call: u32,
    /// Nothing.
    pub padding: u32,
}
