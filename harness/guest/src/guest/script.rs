//! Guests by a command of the user's, whatever the toolchain.

use std::io;
use std::process::Command;

use super::environment::{last_lines, output};
use super::{Artifact, GuestError};
use wasiscope_scenario::CommandGuest;

/// Runs the command in its folder, with the whole environment: which compiler it finds is the user's business.
pub(super) fn run(own: &CommandGuest, say: &mut dyn FnMut(&str)) -> Result<Artifact, GuestError> {
    let CommandGuest { build, dir, out } = own;
    say(&format!("running `{build}` in {}", dir.display()));
    let mut shell = Command::new("sh");
    shell.args(["-c", build]).current_dir(dir);
    let output = output(&mut shell).map_err(|reason| GuestError::Io { what: format!("running `{build}`"), reason })?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        let said = last_lines(&String::from_utf8_lossy(&said), 40);
        return Err(GuestError::Build { what: format!("`{build}` in {} ({})", dir.display(), output.status), said });
    }
    let io = |reason| GuestError::Io { what: format!("`{build}` left no {}", out.display()), reason };
    // Reading anything else, a pipe for one, may never end.
    if !out.metadata().map_err(io)?.is_file() {
        return Err(io(io::Error::other("it is not a regular file")));
    }
    let artifact = Artifact::of_file(out).map_err(io)?;
    Ok(Artifact { flags: Some(build.clone()), ..artifact })
}
