//! Link arguments that belong to these guests, however they are built: RUSTFLAGS would replace those in a config file.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    // What the host calls in a handler of events; a program's functions are not exported otherwise.
    if std::env::var_os("CARGO_CFG_TARGET_ARCH").is_some_and(|arch| arch == "wasm32") {
        for function in ["handle_event", "handled"] {
            println!("cargo::rustc-link-arg-bin=events=--export={function}");
        }
    }
}
