//! What is taken from packages when this crate is built.

use std::io;

#[cfg(feature = "spec-tests")]
mod specification;

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=build");
    #[cfg(feature = "spec-tests")]
    specification::write()?;
    Ok(())
}
