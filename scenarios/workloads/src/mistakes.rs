//! The mistakes: programs that die by a fault of their own, the same one in every flavour.
//!
//! A mistake is a function that is generic over the [`Host`] of its flavour, and an entry in [`MISTAKES`]. It is no
//! workload: it has no size, no check and no measured part. Each does what a program does before anything is wrong
//! with it, a line of output and a file still open, then marks [`MARK_TRAP`], and the next thing is its fault; what
//! is to be seen is how the flavour dies of that, what it says, what it leaves, and what being able to say it weighs.
//!
//! All of them could return as far as the compiler can tell, so that every program holds what would follow, and two
//! differ by nothing but the mistake. [`abort`] is what the others are compared with: what a program is larger by is
//! its mistake, the machinery of the flavour that it calls (an allocator, say), and the message with all that would
//! format it, whether or not the flavour ever does.

use core::fmt;
use core::hint::black_box;
use core::ptr;

use heap::vec::Vec;

use crate::{Host, HostError, MARK_TRAP};

/// What each prints while nothing is wrong.
pub const LINE: &str = "about to fail\n";
/// The file that each leaves open, in the preopened directory.
pub const FILE_NAME: &str = "left.txt";
/// What each has written into it.
pub const FILE_TEXT: &str = "written before the mistake\n";

/// What each level of the recursion keeps. With what the compiler adds that is 48 bytes of shadow stack, about as much
/// as the call takes of the engine's own stack: so the size of the flavour's stack decides which is used up first.
const FRAME_WORDS: usize = 4;

/// One entry of the registry.
#[derive(Clone, Copy, Debug)]
pub struct Mistake {
    /// The name of its binary in every guest workspace.
    pub name: &'static str,
    /// What it does wrong, as one paragraph.
    pub summary: &'static str,
}

/// Every mistake, by name.
pub const MISTAKES: &[Mistake] = &[
    Mistake {
        name: "mistake-abort",
        summary: "Traps at once, by wasm's `unreachable`, and says nothing: what all others are compared with.",
    },
    Mistake {
        name: "mistake-allocation",
        summary: "Asks for half of the address space, which no allocator gives, in a way that cannot fail but by \
                  ending the program.",
    },
    Mistake { name: "mistake-double-panic", summary: "Panics with a message that panics when it is formatted." },
    Mistake { name: "mistake-index", summary: "Reads the element after the last of a slice, which is checked." },
    Mistake {
        name: "mistake-pointer",
        summary: "Reads the last eight bytes of the address space through a raw pointer, which is checked by nobody \
                  but the engine.",
    },
    Mistake {
        name: "mistake-stack",
        summary: "Calls itself without end, with 48 bytes on the shadow stack for each level: either that or the \
                  engine's own stack is used up first.",
    },
];

/// Traps without a word.
///
/// # Errors
/// If the host could not print, create or write the file, or mark.
pub fn abort<H: Host + ?Sized>(host: &mut H) -> Result<(), HostError> {
    prepare(host)?;
    if black_box(true) {
        trap();
    }
    Ok(())
}

/// Allocates more than there can be, without asking whether that worked.
///
/// # Errors
/// If the host could not print, create or write the file, or mark.
pub fn allocation<H: Host + ?Sized>(host: &mut H) -> Result<(), HostError> {
    prepare(host)?;
    // One byte more would be a capacity overflow, which is a panic that no allocator has any part in.
    black_box(Vec::<u8>::with_capacity(black_box(usize::MAX / 2)));
    Ok(())
}

/// Panics, and again while the first panic is being said.
///
/// # Errors
/// If the host could not print, create or write the file, or mark.
pub fn double_panic<H: Host + ?Sized>(host: &mut H) -> Result<(), HostError> {
    prepare(host)?;
    if black_box(true) {
        panic!("{}", Unprintable);
    }
    Ok(())
}

/// Indexes a slice by its length.
///
/// # Errors
/// If the host could not print, create or write the file, or mark.
pub fn index<H: Host + ?Sized>(host: &mut H) -> Result<(), HostError> {
    prepare(host)?;
    let bytes = black_box(LINE.as_bytes());
    black_box(bytes[black_box(bytes.len())]);
    Ok(())
}

/// Reads where there is no memory.
///
/// # Errors
/// If the host could not print, create or write the file, or mark.
pub fn pointer<H: Host + ?Sized>(host: &mut H) -> Result<(), HostError> {
    prepare(host)?;
    // The highest address that is aligned: above any memory but one of the full 4 GiB, and the same whatever the
    // flavour has put into its own. Hidden from the compiler, which may know how large a memory is.
    let pointer = ptr::without_provenance::<u64>(black_box(usize::MAX - 7));
    // SAFETY: it is not safe, on purpose: this read is the mistake. In wasm it traps before anything comes of it.
    black_box(unsafe { pointer.read_volatile() });
    Ok(())
}

/// Recurses until there is no stack.
///
/// # Errors
/// If the host could not print, create or write the file, or mark.
pub fn stack<H: Host + ?Sized>(host: &mut H) -> Result<(), HostError> {
    prepare(host)?;
    black_box(levels_below(black_box(0)));
    Ok(())
}

/// What is there when a program dies: output, an open file, and the mark.
fn prepare<H: Host + ?Sized>(host: &mut H) -> Result<(), HostError> {
    host.print(LINE)?;
    host.create(FILE_NAME)?;
    host.write(FILE_TEXT.as_bytes())?;
    host.mark(MARK_TRAP)
}

#[cfg(target_arch = "wasm32")]
fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// Outside wasm, where nobody compares sizes, it is a panic: core has nothing else that ends a program.
#[cfg(not(target_arch = "wasm32"))]
fn trap() -> ! {
    panic!("core cannot abort")
}

struct Unprintable;

impl fmt::Display for Unprintable {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("a panic while a panic is being said")
    }
}

/// Counts the levels below this one, of which there is always one more.
#[expect(unconditional_recursion, reason = "the mistake")]
fn levels_below(level: u64) -> u64 {
    let mut frame = [level; FRAME_WORDS];
    // In memory, and needed after the call: otherwise the stack would not grow, or the calls would become a loop.
    let frame = black_box(&mut frame);
    levels_below(frame[0] + 1) + frame[FRAME_WORDS - 1]
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::Path;

    use heap::string::String;

    use super::*;
    use crate::tests::Recorder;

    #[test]
    fn names_are_sorted_and_unique() {
        assert!(MISTAKES.is_sorted_by(|a, b| a.name < b.name));
        assert!(MISTAKES.iter().all(|mistake| mistake.name.starts_with("mistake-")));
    }

    #[test]
    fn every_flavour_has_all_of_them_and_no_others() {
        for folder in ["guest-std", "guest-tinygo-like"] {
            let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(folder).join("src/bin");
            let files = programs.read_dir().expect("the guests lie beside the workloads");
            let mut names: Vec<_> = files
                .filter_map(|file| Some(String::from(file.ok()?.path().file_stem()?.to_str()?)))
                .filter(|name| name.starts_with("mistake-"))
                .collect();
            names.sort();
            assert!(names.iter().eq(MISTAKES.iter().map(|mistake| mistake.name)), "{folder}: {names:?}");
        }
    }

    /// With those that end in a panic outside wasm as well; the others would end the tests.
    #[test]
    fn the_mark_is_the_last_thing_before_the_fault() {
        for mistake in [abort::<Recorder>, index::<Recorder>] {
            let mut recorder = Recorder::default();
            let outcome = catch_unwind(AssertUnwindSafe(|| mistake(&mut recorder)));
            assert!(outcome.is_err(), "it returned {outcome:?}");
            assert_eq!(recorder.events, "pcw!");
        }
    }
}
