//! The glue that makes a workload a WASI command without std: arguments, output, marks, an allocator, panics.

#![no_std]

extern crate alloc;

mod allocator;
mod arguments;
mod command;
mod host;
mod line;
mod wasi;

pub use command::run;
pub use host::WasiHost;
pub use line::MAX_NAME_BYTES;
#[doc(hidden)]
pub use wasiscope_workloads as workloads;

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

/// Says why, if that is known without formatting anything, and traps.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let message = info.message().as_str().unwrap_or("no plain message");
    for part in ["panic: ", message, "\n"] {
        wasi::complain(part.as_bytes());
    }
    core::arch::wasm32::unreachable()
}
