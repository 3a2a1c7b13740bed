//! `dispatch`: calls to what is known only when they happen.
//!
//! To repeat it elsewhere: start from [`SEED`]. In each of `n` steps, the state's upper three bits choose one of eight
//! operations for it: the `FUNCTIONS` in the even steps, the `OBJECTS` in the odd ones.

use core::hint::black_box;

use crate::splitmix::SEED;
use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "dispatch",
    summary: "Makes n indirect calls, by turns through a table of functions and through trait objects, each chosen by \
              the result of the one before. The functions do next to nothing. In wasm an indirect call checks the \
              index and the signature first; beyond that it costs what mispredicted branches cost.",
    default_n: 500_000,
    run: |host, n| run(host, n),
};

/// Makes `n` calls. The check is the state after the last.
///
/// # Errors
/// If the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let (functions, objects) = (black_box(FUNCTIONS), black_box(OBJECTS));
        let mut state = SEED;
        for step in 0..n {
            // Three bits, so the cast loses nothing.
            let choice = (state >> 61) as usize;
            state = if step % 2 == 0 { functions[choice](state) } else { objects[choice].apply(state) };
        }
        Ok(state)
    })
}

/// Odd, so that multiplying by it loses nothing: that of SplitMix64's step.
const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;

const FUNCTIONS: [fn(u64) -> u64; 8] = [
    |state| state.wrapping_mul(FACTOR),
    |state| state.rotate_left(7),
    |state| (state ^ (state >> 31)).wrapping_add(FACTOR),
    |state| state.wrapping_sub(FACTOR).rotate_left(23),
    |state| !state.wrapping_mul(5),
    |state| state.swap_bytes() ^ FACTOR,
    |state| state.wrapping_add(state << 9),
    |state| (state ^ FACTOR).rotate_left(41),
];

trait Operation {
    fn apply(&self, state: u64) -> u64;
}

struct Add(u64);
struct Rotate(u32);
struct Multiply(u64);

impl Operation for Add {
    fn apply(&self, state: u64) -> u64 {
        state.wrapping_add(self.0)
    }
}

impl Operation for Rotate {
    fn apply(&self, state: u64) -> u64 {
        state.rotate_left(self.0)
    }
}

impl Operation for Multiply {
    fn apply(&self, state: u64) -> u64 {
        (state ^ (state >> 29)).wrapping_mul(self.0)
    }
}

const OBJECTS: [&dyn Operation; 8] = [
    &Add(FACTOR),
    &Rotate(11),
    &Multiply(FACTOR),
    &Rotate(37),
    &Add(0x5851_f42d_4c95_7f2d),
    &Multiply(0x5851_f42d_4c95_7f2d),
    &Add(1),
    &Multiply(0xd1b5_4a32_d192_ed03),
];

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the same operations in Python.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0x5741_5349_5343_4f50),
            (1, 0xf578_cd03_7d0c_65d7),
            (1000, 0xfb1d_bfbc_a8ac_baf2),
            (500_000, 0xdb1c_bc57_29fc_994c),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
