//! `fileio`: files written, read and listed.
//!
//! To repeat it elsewhere: file `i` of [`FILES`], named as `file_name` says, gets `n / FILES` bytes, one more if `i <
//! n % FILES`, from one SplitMix64 for all of them, which fills one block of at most [`BLOCK_BYTES`] after the other.

use heap::vec;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::{Host, HostError, Workload, measure};

/// How many files there are. Those of an earlier run are overwritten.
pub const FILES: u8 = 8;
/// Most bytes of one read or write.
pub const BLOCK_BYTES: usize = 4096;

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "fileio",
    summary: "Writes n bytes to eight files in the preopened directory, 4 KiB at a time, reads them back and lists the \
              directory. It costs the runtime's way to the file system: looking up names beneath a directory \
              descriptor, checking rights, copying between the guest's memory and its own, and the system calls.",
    default_n: 256 * 1024,
    run: |host, n| run(host, n),
};

/// Writes and reads `n` bytes. The check is the FNV-1a of the bytes read, file by file, and then, as a word, of the
/// number of these files that the directory lists.
///
/// # Errors
/// If the host could not write, read or list, or mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let mut block = vec![0; BLOCK_BYTES];
    measure(host, n, |host, n| {
        let mut random = SplitMix64::new(SEED);
        for file in 0..FILES {
            host.create(as_text(&file_name(file)))?;
            let mut remaining_bytes = n / u64::from(FILES) + u64::from(u64::from(file) < n % u64::from(FILES));
            while remaining_bytes > 0 {
                let len = usize::try_from(remaining_bytes).map_or(BLOCK_BYTES, |bytes| bytes.min(BLOCK_BYTES));
                random.fill(&mut block[..len]);
                host.write(&block[..len])?;
                remaining_bytes -= len as u64;
            }
            host.close()?;
        }
        let mut check = Fnv1a::new();
        for file in 0..FILES {
            host.open(as_text(&file_name(file)))?;
            loop {
                match host.read(&mut block)? {
                    0 => break,
                    len => check.update(&block[..len]),
                }
            }
            host.close()?;
        }
        let mut listed = 0;
        host.list(&mut |name| listed += u64::from((0..FILES).any(|file| name == file_name(file))))?;
        check.update_word(listed);
        Ok(check.finish())
    })
}

const NAME_BYTES: usize = 12;

/// `fileio-0.dat` and so on.
const fn file_name(file: u8) -> [u8; NAME_BYTES] {
    let mut name = *b"fileio-0.dat";
    name[7] += file;
    name
}

fn as_text(name: &[u8; NAME_BYTES]) -> &str {
    core::str::from_utf8(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_text() {
        assert_eq!(as_text(&file_name(0)), "fileio-0.dat");
        assert_eq!(as_text(&file_name(FILES - 1)), "fileio-7.dat");
    }

    /// The FNV-1a in Python of the bytes, and then eight names.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0x90c0_38ae_f5ec_78a9),
            (1, 0xf6b0_8d3a_411c_d3c0),
            (100_000, 0xd4f6_f482_40a4_59be),
            (262_144, 0xae4b_ef83_7371_c434),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
