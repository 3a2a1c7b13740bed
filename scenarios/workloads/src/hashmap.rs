//! `hashmap`: lookups all over a table.
//!
//! To repeat it elsewhere: for each of `n` steps draw a key below `n / 2 + 1` and a number below four. 0 sets the key's
//! value to the step's number, 1 adds one to the value (which is 0 if there is none), 2 looks it up, 3 removes it. The
//! check takes in, word by word, each value that 2 or 3 found, then the number of keys left.

use core::hash::{BuildHasherDefault, Hasher};

use hashbrown::HashMap;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "hashmap",
    summary: "Sets, changes, looks up and removes n times an entry of a hash table of 64-bit numbers, with hashbrown \
              and a fixed hash. Loads from all over a table that grows beyond the caches, and the group probing that \
              natively takes one vector instruction and in the guests takes several ordinary ones.",
    default_n: 100_000,
    run: |host, n| run(host, n),
};

/// Does `n` steps on an empty table. The check is as the module says.
///
/// # Errors
/// If `n / 2` keys are beyond 32 bits, or the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    measure(host, n, |_, n| {
        let keys =
            u32::try_from(n / 2 + 1).map_err(|_| HostError { operation: "choosing among the keys", errno: None })?;
        let mut random = SplitMix64::new(SEED);
        let mut table: HashMap<u64, u64, BuildHasherDefault<Mix>> = HashMap::default();
        let mut check = Fnv1a::new();
        for step in 0..n {
            let key = random.below(keys).into();
            let found = match random.below(4) {
                0 => {
                    table.insert(key, step);
                    None
                }
                1 => {
                    let value = table.entry(key).or_insert(0);
                    *value = value.wrapping_add(1);
                    None
                }
                2 => table.get(&key).copied(),
                _ => table.remove(&key),
            };
            if let Some(value) = found {
                check.update_word(value);
            }
        }
        check.update_word(table.len() as u64);
        Ok(check.finish())
    })
}

/// Hashes a number to SplitMix64's first output from that seed: never random, and good enough for any keys.
#[derive(Default)]
struct Mix(u64);

impl Hasher for Mix {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = SplitMix64::new(self.0 ^ number).next_u64();
    }

    fn write(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.write_u64(byte.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the same steps on a Python dictionary.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0x90c0_36fb_f5ec_77a9),
            (1, 0x90c0_36fb_f5ec_77a9),
            (1000, 0x5523_9a37_f35c_faf4),
            (200_000, 0x6f94_3874_592e_0682),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
