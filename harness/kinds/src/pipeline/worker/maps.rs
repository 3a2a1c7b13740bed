//! BPF maps that were inherited, read by `bpf(2)`. A descriptor is enough: the worker has no privileges.

use std::io;

use wasiscope_capture::InheritedMap;

const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_UPDATE_ELEM: libc::c_long = 2;
const MAP_GET_NEXT_KEY: libc::c_long = 4;

/// The part of `union bpf_attr` that these commands use.
#[repr(C)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value_or_next_key: u64,
    flags: u64,
}

/// Copies the value of a key into `value`.
///
/// # Errors
/// `InvalidInput` when key or value have other lengths than the kernel would read and write; what the kernel says, otherwise.
pub(super) fn look_up(map: &InheritedMap, key: &[u8], value: &mut [u8]) -> io::Result<()> {
    fits(key.len(), map.key_bytes)?;
    fits(value.len(), map.copied_bytes)?;
    // SAFETY: the kernel reads `key_bytes` at the key and writes `copied_bytes` at the value; both are just so long, and outlive the call.
    unsafe { bpf(MAP_LOOKUP_ELEM, map, key.as_ptr(), value.as_mut_ptr()) }
}

/// Replaces the value of a key.
///
/// # Errors
/// As [`look_up`].
pub(super) fn update(map: &InheritedMap, key: &[u8], value: &[u8]) -> io::Result<()> {
    fits(key.len(), map.key_bytes)?;
    fits(value.len(), map.copied_bytes)?;
    // SAFETY: as above; the kernel only reads the value.
    unsafe { bpf(MAP_UPDATE_ELEM, map, key.as_ptr(), value.as_ptr().cast_mut()) }
}

/// The key behind this one, or the first when there is none; `None` behind the last.
///
/// # Errors
/// As [`look_up`].
pub(super) fn next_key(map: &InheritedMap, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    if let Some(key) = key {
        fits(key.len(), map.key_bytes)?;
    }
    fits(next.len(), map.key_bytes)?;
    let key = key.map_or(std::ptr::null(), <[u8]>::as_ptr);
    // SAFETY: the kernel reads `key_bytes` at the key, if there is one, and writes as many at the next; both are just so long.
    match unsafe { bpf(MAP_GET_NEXT_KEY, map, key, next.as_mut_ptr()) } {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

fn fits(length: usize, bytes: u32) -> io::Result<()> {
    if length == bytes as usize { Ok(()) } else { Err(io::ErrorKind::InvalidInput.into()) }
}

/// # Safety
/// The kernel reads and writes at both places what the map's sizes say.
unsafe fn bpf(command: libc::c_long, map: &InheritedMap, key: *const u8, value: *mut u8) -> io::Result<()> {
    let map_fd = u32::try_from(map.fd).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    let mut attributes =
        Element { map_fd, padding: 0, key: key.addr() as u64, value_or_next_key: value.addr() as u64, flags: 0 };
    // The addresses are the kernel's to follow.
    let (_, _) = (key.expose_provenance(), value.expose_provenance());
    // SAFETY: the caller's.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut attributes, size_of::<Element>()) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_that_the_kernel_would_not_keep_to_never_reach_it() {
        // No map has this descriptor: whatever reached the kernel would come back as a bad one.
        let map = InheritedMap {
            name: String::new(),
            fd: 1_000_000,
            key_bytes: 4,
            value_bytes: 64,
            entries: 2,
            copied_bytes: InheritedMap::copied_bytes(64, true, 3),
        };
        let kind = |result: io::Result<()>| result.unwrap_err().kind();
        assert_eq!(kind(look_up(&map, &[0; 4], &mut [0; 64])), io::ErrorKind::InvalidInput, "for one CPU only");
        assert_eq!(kind(look_up(&map, &[0; 3], &mut [0; 192])), io::ErrorKind::InvalidInput);
        assert_eq!(kind(update(&map, &[0; 4], &[0; 191])), io::ErrorKind::InvalidInput);
        assert_eq!(kind(next_key(&map, Some(&[0; 5]), &mut [0; 4]).map(drop)), io::ErrorKind::InvalidInput);
        assert_eq!(look_up(&map, &[0; 4], &mut [0; 192]).unwrap_err().raw_os_error(), Some(libc::EBADF));
    }
}
