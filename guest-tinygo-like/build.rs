//! Link arguments that belong to these guests, however they are built: RUSTFLAGS would replace those in a config file.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // rustc asks for 1 MiB, which would be most of the memory of every guest. The stack lies below the data, so
    // overflowing it is an out-of-bounds trap, never silent corruption.
    println!("cargo::rustc-link-arg-bins=-zstack-size=32768");
    // What the host calls in a handler of events; a program's functions are not exported otherwise.
    for function in ["handle_event", "handled"] {
        println!("cargo::rustc-link-arg-bin=events=--export={function}");
    }
}
