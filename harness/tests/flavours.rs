//! Flavours whose toolchain is not on every machine: a row that says how to get it, or real guests.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Run, WASISCOPE, ended, file, root};
use wasiscope::code::Code;

const SCENARIO: &str = "name: f\nworkloads: [hello, sha256]\nflavours: [go, tinygo]\n";

/// The folders of PATH, without those that hold `go` or `tinygo`, and with `first` before them.
fn path_without_go(first: Option<&Path>) -> OsString {
    let path = std::env::var_os("PATH").unwrap();
    let has_go = |folder: &PathBuf| folder.join("go").is_file() || folder.join("tinygo").is_file();
    let kept = std::env::split_paths(&path).filter(|folder| !has_go(folder));
    std::env::join_paths(first.map(Path::to_owned).into_iter().chain(kept)).unwrap()
}

/// Runs in a checkout of its own, where nothing has been built yet and nothing that is built stays.
fn run_with(path: OsString) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let checkout = folder.path().join("checkout");
    std::fs::create_dir(&checkout).unwrap();
    for name in ["scenarios", "guest-std", "Cargo.toml", "rust-toolchain.toml"] {
        std::os::unix::fs::symlink(root().join(name), checkout.join(name)).unwrap();
    }
    let scenario = file(&folder, "f.yaml", SCENARIO);
    let few = ["--capture", "off", "--processes", "1", "--iterations", "1", "--wall", "60s"];
    let mut wasiscope = Command::new(WASISCOPE);
    wasiscope.current_dir(folder.path()).env("PATH", path).args(["run", &scenario, "--root"]).arg(&checkout).args(few);
    let output = wasiscope.arg("--out").arg(folder.path().join("report.json")).output().unwrap();
    Run { folder, output }
}

#[test]
fn what_is_not_on_path_is_a_skipped_row_with_the_way_to_get_it() {
    let run = run_with(path_without_go(None));
    assert_eq!(run.code(), 0, "{}", run.stderr());
    for (flavour, mend) in [("go", "ci/setup --go"), ("tinygo", "https://tinygo.org")] {
        ended(&run.case(&format!("hello/{flavour}/cranelift")), "skipped", Code::NoToolchain, &[mend]);
    }
}

/// TinyGo is in no registry that this project's machines reach, so the adapter is held against a stand-in: a script that
/// answers as `tinygo` does and compiles with Go.
#[test]
fn tinygo_is_called_as_it_wants_to_be() {
    let bin = tempfile::tempdir().unwrap();
    let go = std::env::split_paths(&std::env::var_os("PATH").unwrap())
        .map(|folder| folder.join("go"))
        .find(|go| go.is_file());
    let go = go.expect("go is not on PATH: run `ci/setup --go`, then `. ci/path`");
    let script = format!(
        "#!/bin/sh\n\
         [ \"$1\" = version ] && {{ echo 'tinygo version 0.0.0 (stand-in)'; exit; }}\n\
         [ \"$1 $2 $3 $4\" = 'build -target=wasip1 -no-debug -o' ] || {{ echo \"unexpected: $*\" >&2; exit 1; }}\n\
         exec '{}' build -o \"$5\" \"$6\"\n",
        go.display()
    );
    let tinygo = bin.path().join("tinygo");
    std::fs::write(&tinygo, script).unwrap();
    std::fs::set_permissions(&tinygo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let run = run_with(path_without_go(Some(bin.path())));
    assert_eq!(run.code(), 0, "{}\n{}", run.stderr(), run.stdout());
    let case = run.case("hello/tinygo/cranelift");
    assert_eq!(case["outcome"]["status"], "ok");
    assert_eq!(case["artifact"]["toolchain"], "tinygo version 0.0.0 (stand-in)");
    assert_eq!(run.case("sha256/tinygo/cranelift")["outcome"]["status"], "ok");
}
