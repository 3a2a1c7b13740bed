//! The glue that makes a workload a WASI command without std: arguments, output, marks, an allocator, panics.
//!
//! Only the allocator is there on other targets than wasm, for its tests.

#![no_std]

#[cfg(target_arch = "wasm32")]
extern crate alloc;
#[cfg(test)]
extern crate std;

#[cfg(any(target_arch = "wasm32", test))]
mod allocator;
#[cfg(target_arch = "wasm32")]
mod arguments;
#[cfg(target_arch = "wasm32")]
mod command;
#[cfg(target_arch = "wasm32")]
mod heap;
#[cfg(target_arch = "wasm32")]
mod host;
#[cfg(target_arch = "wasm32")]
mod line;
#[cfg(target_arch = "wasm32")]
mod wasi;

#[cfg(target_arch = "wasm32")]
pub use command::{run, run_experiment, run_mistake};
#[cfg(target_arch = "wasm32")]
pub use host::WasiHost;
#[cfg(target_arch = "wasm32")]
pub use line::MAX_NAME_BYTES;
#[doc(hidden)]
pub use wasiscope_workloads as workloads;

#[cfg(target_arch = "wasm32")]
use core::panic::PanicInfo;

/// Defines the command: `_start`, running the named module of `wasiscope-workloads`.
#[macro_export]
macro_rules! command {
    ($workload:ident) => {
        /// What a WASI runtime calls to run the program.
        #[unsafe(no_mangle)]
        pub extern "C" fn _start() {
            use $crate::workloads::$workload;

            const { assert!($workload::WORKLOAD.name.len() <= $crate::MAX_NAME_BYTES) };
            $crate::run($workload::WORKLOAD.name, $workload::WORKLOAD.default_n, $workload::run);
        }
    };
}

/// Defines the command: `_start`, making the named mistake of `wasiscope-workloads`.
#[macro_export]
macro_rules! mistake {
    ($mistake:ident) => {
        /// What a WASI runtime calls to run the program.
        #[unsafe(no_mangle)]
        pub extern "C" fn _start() {
            $crate::run_mistake($crate::workloads::mistakes::$mistake);
        }
    };
}

/// Says why, if that is known without formatting anything, and traps.
#[cfg(target_arch = "wasm32")]
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let message = info.message().as_str().unwrap_or("no plain message");
    for part in ["panic: ", message, "\n"] {
        wasi::complain(part.as_bytes());
    }
    core::arch::wasm32::unreachable()
}
