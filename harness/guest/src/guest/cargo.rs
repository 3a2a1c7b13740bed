//! Guests in Rust, by nested cargo.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Message, MetadataCommand};

use super::environment::{command, last_lines, output, printed};
use super::{Artifact, Builder, GuestError};
use wasiscope_scenario::{CargoGuest, Flavour};

/// Makes a guest's bytes independent of where the checkout lies.
const STABLE_RUSTC: &str = include_str!("stable-rustc.sh");

/// Where a flavour lives and what it is compiled for.
pub(super) struct Cargo {
    flavour: Flavour,
    folder: &'static str,
    /// `None` for the machine that builds.
    target: Option<&'static str>,
}

impl Cargo {
    pub(super) fn of(flavour: Flavour) -> Self {
        let (folder, target) = match flavour {
            Flavour::TinygoLike => ("guest-tinygo-like", Some("wasm32-unknown-unknown")),
            // The same program as `std`, outside wasm.
            Flavour::Native => ("guest-std", None),
            _ => ("guest-std", Some("wasm32-wasip1")),
        };
        Self { flavour, folder, target }
    }

    /// The target by name. Named even when it is the machine's own: the guest workspace's configuration says wasm.
    fn target(&self, folder: &Path) -> Result<String, GuestError> {
        self.target.map_or_else(|| host(folder), |target| Ok(target.to_owned()))
    }
}

/// The target of the machine itself, as the toolchain of `folder` names it.
fn host(folder: &Path) -> Result<String, GuestError> {
    let version = printed("rustc", folder, &["-vV"]).unwrap_or_default();
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).map(str::to_owned);
    host.ok_or_else(|| GuestError::NoTool { program: "rustc", reason: std::io::ErrorKind::NotFound.into() })
}

impl Builder for Cargo {
    fn name(&self) -> &'static str {
        self.flavour.name()
    }

    fn sources(&self) -> Vec<&'static str> {
        // The workloads inherit keys from the root manifest; the toolchain file selects the compiler.
        vec![self.folder, "scenarios/workloads", "Cargo.toml", "rust-toolchain.toml"]
    }

    fn flags(&self) -> String {
        let target = self.target.unwrap_or("the machine's own");
        format!("--release --locked --target {target} --remap-path-prefix")
    }

    fn recipe(&self) -> &'static str {
        STABLE_RUSTC
    }

    fn has(&self, root: &Path, workload: &str) -> bool {
        root.join(self.folder).join("src/bin").join(format!("{workload}.rs")).is_file()
    }

    fn toolchain(&self, root: &Path) -> Option<String> {
        printed("rustc", &root.join(self.folder), &["-vV"])
    }

    fn build(
        &self,
        root: &Path,
        workloads: &[&str],
        scratch: &Path,
        say: &mut dyn FnMut(&str),
    ) -> Result<BTreeMap<String, PathBuf>, GuestError> {
        let folder = root.join(self.folder);
        let target = self.target(&folder)?;
        ensure_target(&folder, &target, say)?;
        say(&format!("building {} as {}", workloads.join(", "), self.name()));
        let mut cargo = command("cargo", &folder);
        cargo.args(["build", "--release", "--locked", "--target", &target, "--target-dir"]).arg(scratch);
        for workload in workloads {
            cargo.args(["--bin", workload]);
        }
        let wrapper = scratch.join("stable-rustc.sh");
        write_executable(&wrapper, STABLE_RUSTC)
            .map_err(|reason| GuestError::Io { what: format!("writing {}", wrapper.display()), reason })?;
        cargo.env("RUSTC_WRAPPER", &wrapper);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", path_mapping(root, &folder).join("\u{1f}"));
        compile(&mut cargo, || format!("building {} in {}", workloads.join(", "), self.folder))
    }
}

/// Runs a `cargo build`: where cargo says that it has put each binary. `what` is being done, should it fail.
fn compile(cargo: &mut Command, what: impl Fn() -> String) -> Result<BTreeMap<String, PathBuf>, GuestError> {
    // What the compilers say goes to stderr, as without it.
    cargo.arg("--message-format=json-render-diagnostics");
    let output = output(cargo).map_err(|reason| GuestError::NoTool { program: "cargo", reason })?;
    if !output.status.success() {
        let said = last_lines(&String::from_utf8_lossy(&output.stderr), 40);
        return Err(GuestError::Build { what: what(), said });
    }
    let binary = |message| match message {
        Message::CompilerArtifact(artifact) if artifact.target.is_bin() => {
            Some((artifact.target.name, artifact.executable?.into_std_path_buf()))
        }
        _ => None,
    };
    Ok(Message::parse_stream(&output.stdout[..]).map_while(Result::ok).filter_map(binary).collect())
}

/// Checks what can be known of a user's own crate before anything is built: that its manifest is one, and has the
/// binary.
pub(super) fn check_own(own: &CargoGuest) -> Result<(), GuestError> {
    let mut cargo = command("cargo", &own.dir);
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let output = output(&mut cargo).map_err(|reason| GuestError::NoTool { program: "cargo", reason })?;
    if !output.status.success() {
        let what = format!("reading the manifest in {}", own.dir.display());
        return Err(GuestError::Build { what, said: last_lines(&String::from_utf8_lossy(&output.stderr), 10) });
    }
    let metadata = MetadataCommand::parse(String::from_utf8_lossy(&output.stdout)).map_err(|error| {
        GuestError::Build { what: format!("reading the manifest in {}", own.dir.display()), said: error.to_string() }
    })?;
    let targets = metadata.packages.into_iter().flat_map(|package| package.targets);
    let bins: Vec<String> = targets.filter(|target| target.is_bin()).map(|target| target.name).collect();
    if bins.contains(&own.bin) {
        return Ok(());
    }
    Err(GuestError::NoBinary { bin: own.bin.clone(), folder: own.dir.clone(), bins })
}

/// Compiles a user's own crate as its own manifest says.
pub(super) fn build_own(own: &CargoGuest, scratch: &Path, say: &mut dyn FnMut(&str)) -> Result<Artifact, GuestError> {
    let io = |what: String| move |reason| GuestError::Io { what, reason };
    let folder = std::fs::canonicalize(&own.dir).map_err(io(format!("the crate's folder {}", own.dir.display())))?;
    let target = if own.is_native() { host(&folder)? } else { own.target.clone() };
    ensure_target(&folder, &target, say)?;
    say(&format!("building {} of {}", own.bin, folder.display()));
    let mut cargo = command("cargo", &folder);
    let scratch = std::path::absolute(scratch).map_err(io(scratch.display().to_string()))?;
    cargo.args(["build", "--bin", &own.bin, "--target", &target, "--profile", &own.profile, "--target-dir"]);
    let what = || format!("building {} in {}", own.bin, folder.display());
    let file = compile(cargo.arg(&scratch), what)?.remove(&own.bin);
    let file =
        file.ok_or_else(|| GuestError::Build { what: what(), said: "cargo names no file of that binary".to_owned() })?;
    let artifact = Artifact::of_file(&file).map_err(io(format!("reading {}", file.display())))?;
    let toolchain = printed("rustc", &folder, &["-vV"]);
    Ok(Artifact {
        toolchain: toolchain.and_then(|text| text.lines().next().map(str::to_owned)),
        flags: Some(format!("--profile {} --target {}", own.profile, own.target)),
        ..artifact
    })
}

/// Makes sure that the toolchain of `folder` has a standard library for `target`, through rustup if it has not.
fn ensure_target(folder: &Path, target: &str, say: &mut dyn FnMut(&str)) -> Result<(), GuestError> {
    let is_there = || {
        printed("rustc", folder, &["--print", "target-libdir", "--target", target])
            .and_then(|folder| std::fs::read_dir(folder).ok())
            .is_some_and(|mut files| files.next().is_some())
    };
    if is_there() {
        return Ok(());
    }
    say(&format!("adding the target {target}: rustup target add {target}"));
    let because = match output(command("rustup", folder).args(["target", "add", target])) {
        Ok(output) if output.status.success() && is_there() => return Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            // What follows is a list of causes, and with RUST_BACKTRACE a backtrace.
            let error = said.lines().find(|line| line.starts_with("error")).or(said.lines().next());
            format!(" (rustup said: {})", error.unwrap_or_default())
        }
        Err(error) => format!(" (rustup cannot be run: {error})"),
    };
    Err(GuestError::NoTarget { target: target.to_owned(), folder: folder.to_owned(), because })
}

/// Panic messages hold paths of sources. Left alone, the size of a guest would depend on where its sources lie.
fn path_mapping(root: &Path, folder: &Path) -> Vec<String> {
    let mut mapping = vec![(root.to_owned(), "/wasiscope")];
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let cargo_home = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| Some(home?.join(".cargo")));
    mapping.extend(cargo_home.map(|cargo_home| (cargo_home, "/cargo")));
    // With the component rust-src installed, rustc names the standard library's sources by where they lie.
    let sysroot = printed("rustc", folder, &["--print", "sysroot"]);
    mapping.extend(sysroot.map(|sysroot| (Path::new(&sysroot).join("lib/rustlib/src/rust"), "/rust")));
    mapping.into_iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())).collect()
}

/// Left alone when it is right already, so that no build sees it half written.
fn write_executable(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|present| present == text) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o755))?;
    file.persist(path)?;
    Ok(())
}
