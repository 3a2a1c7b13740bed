//! What guest files are given, and the limits that hold for every guest, as options.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};

use crate::code::{Code, fail};
use crate::files;
use crate::names;
use crate::plan::{Directory, GUEST_NAME, Input, OWN_FOLDER};
use crate::scenario::{self, Expectation, Limits};

/// What .wasm files are given.
#[derive(Debug, Args)]
#[command(next_help_heading = "For .wasm files")]
pub(super) struct InputArguments {
    /// An argument; once for each, or all of them after `--`
    #[arg(long = "arg", value_name = "ARG", allow_hyphen_values = true)]
    args: Vec<String>,
    /// Arguments of the guest, after those of --arg
    #[arg(last = true, value_name = "ARG")]
    more_args: Vec<String>,
    /// An environment variable; nothing is inherited
    #[arg(long, value_name = "NAME=VALUE", value_parser = environment_variable)]
    env: Vec<(String, String)>,
    /// The name that the guest is called by, its first argument
    #[arg(long, value_name = "NAME", default_value = GUEST_NAME, allow_hyphen_values = true)]
    argv0: String,
    /// A folder that the guest may read and write, under its own name or another; `HOST::.` takes the place of the guest's own empty
    /// folder. The guest works in a copy, and each pass gets the folder as it was
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = OsStringValueParser::new().try_map(directory))]
    dir: Vec<(PathBuf, String)>,
    /// Like --dir, without a copy: what the guest writes stays, and later passes find it
    #[arg(long, value_name = "HOST[::GUEST]", value_parser = OsStringValueParser::new().try_map(directory))]
    dir_shared: Vec<(PathBuf, String)>,
    /// Give the guest no folder of its own: without --dir it has no preopened folder at all [default: an empty one, as `.`]
    #[arg(long)]
    no_dir: bool,
    /// What the guest reads from standard input: a file, or a pipe or device such as /dev/stdin. It is read once, up to 256 MiB,
    /// and each pass gets all of it [default: nothing]
    #[arg(long, value_name = "FILE")]
    stdin: Option<PathBuf>,
    /// Call this exported function, after `_initialize`, instead of `_start`; --arg gives its arguments
    #[arg(long, value_name = "FUNCTION")]
    invoke: Option<String>,
    /// Call `_start` before the function of --invoke, as part of the phase `init`; an exit with status 0 in `_start` is ignored
    #[arg(long, requires = "invoke")]
    start_first: bool,
    /// Replace imports that the host does not provide: a function traps when it is called, anything else is empty
    #[arg(long)]
    stub_imports: bool,
    /// The guest is expected to trap, which is measured then; without this a trap is a failed row
    #[arg(long)]
    expect_trap: bool,
    /// The guest is expected to exit with this code [default: 0]
    #[arg(long, value_name = "CODE", conflicts_with = "expect_trap", allow_negative_numbers = true)]
    expect_exit: Option<i32>,
}

/// Bounds on every guest, in place of the scenario's, or of the default for files.
#[derive(Clone, Copy, Debug, Args)]
pub(super) struct LimitArguments {
    /// Longest time of one iteration, for example 500ms [default: the scenario's; 10s for files]
    #[arg(long, value_name = "TIME", value_parser = scenario::wall)]
    wall: Option<Duration>,
    /// Most memory of a guest, all memories and tables together, for example 4GiB [default: the scenario's; 1GiB for files]
    #[arg(long, value_name = "SIZE", value_parser = scenario::size)]
    memory: Option<u64>,
    /// Largest call stack of a guest, for example 8MiB [default: the scenario's; 512KiB for files]
    #[arg(long, value_name = "SIZE", value_parser = scenario::size)]
    stack: Option<u64>,
    /// Most that a guest may write to stdout, and to stderr, in one iteration [default: the scenario's; 16MiB for files]
    #[arg(long, value_name = "SIZE", value_parser = scenario::size)]
    max_output: Option<u64>,
}

impl LimitArguments {
    pub(super) fn is_empty(&self) -> bool {
        let Self { wall, memory, stack, max_output } = self;
        wall.is_none() && memory.is_none() && stack.is_none() && max_output.is_none()
    }

    pub(super) fn apply(&self, limits: &mut Limits) {
        let Self { wall, memory, stack, max_output } = *self;
        *limits = Limits {
            wall: wall.unwrap_or(limits.wall),
            memory_bytes: memory.unwrap_or(limits.memory_bytes),
            stack_bytes: stack.unwrap_or(limits.stack_bytes),
            output_bytes: max_output.unwrap_or(limits.output_bytes),
        };
    }
}

impl InputArguments {
    pub(super) fn is_empty(&self) -> bool {
        let Self { args, more_args, env, argv0, dir, dir_shared, .. } = self;
        let Self { no_dir, stdin, invoke, start_first, stub_imports, expect_trap, expect_exit, .. } = self;
        let has_arguments = !(args.is_empty() && more_args.is_empty() && env.is_empty() && argv0 == GUEST_NAME);
        let has_folders = *no_dir || !(dir.is_empty() && dir_shared.is_empty());
        let has_flags = *start_first || *stub_imports || *expect_trap || expect_exit.is_some();
        !has_arguments && !has_folders && !has_flags && stdin.is_none() && invoke.is_none()
    }

    /// How the guest should end.
    pub(super) fn expectation(&self) -> Expectation {
        let exit_code = self.expect_exit.unwrap_or(0);
        Expectation { trap: self.expect_trap, exit_code, ..Expectation::default() }
    }

    /// With paths that hold wherever the worker runs, and files that are there.
    pub(super) fn checked(&self) -> anyhow::Result<Input> {
        let mut directories: Vec<Directory> = Vec::new();
        let copied = self.dir.iter().map(|folder| ("--dir", folder));
        let shared = self.dir_shared.iter().map(|folder| ("--dir-shared", folder));
        for (option, (host, guest)) in copied.chain(shared) {
            let (path, metadata) = found(option, host)?;
            let folder = Directory { host: path, guest: guest.clone(), shared: option == "--dir-shared" };
            if directories.contains(&folder) {
                continue;
            }
            if directories.iter().any(|other| other.guest == *guest) {
                fail!(
                    SameName,
                    "{option}: two folders would be `{guest}` for the guest: give each its own name, HOST::GUEST"
                );
            }
            if !metadata.is_dir() {
                fail!(NotAFolder, "{option} {}: not a folder; give the folder that contains it", host.display());
            }
            directories.push(folder);
        }
        // It has the guest's first descriptor, as the folder has whose place it takes.
        directories.sort_by_key(|folder| folder.guest != OWN_FOLDER);
        let mut names = BTreeSet::new();
        if let Some((twice, _)) = self.env.iter().find(|(name, _)| !names.insert(name)) {
            fail!(SameName, "--env: `{twice}` is given twice");
        }
        Ok(Input {
            argv0: Some(self.argv0.clone()).filter(|name| name != GUEST_NAME),
            args: [&self.args[..], &self.more_args].concat(),
            environment: self.env.clone(),
            directories,
            stdin: self.stdin.as_deref().map(standard_input).transpose()?,
            no_own_folder: self.no_dir,
            invoke: self.invoke.clone(),
            start_first: self.start_first,
            stub_imports: self.stub_imports,
        })
    }
}

/// All of a file, pipe or device. A pipe can be read only once, and every pass is to get the same.
fn standard_input(path: &Path) -> anyhow::Result<Arc<[u8]>> {
    let path = if path == Path::new("-") { Path::new("/dev/stdin") } else { path };
    let read = files::read(path).map(Arc::from).map_err(|error| Code::of_read(&error).error(error));
    read.with_context(|| format!("--stdin {}", path.display()))
}

/// The absolute path of what an option names, which must be there.
fn found(option: &str, path: &Path) -> anyhow::Result<(PathBuf, fs::Metadata)> {
    let absolute = std::path::absolute(path);
    let looked_at = absolute.and_then(|absolute| fs::metadata(&absolute).map(|metadata| (absolute, metadata)));
    let looked_at = looked_at.map_err(|error| Code::of_read(&error).error(error));
    looked_at.with_context(|| format!("{option} {}", path.display()))
}

fn environment_variable(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').filter(|(name, _)| !name.is_empty()).ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// The host's folder may have any name; what guests know is UTF-8.
fn directory(text: OsString) -> Result<(PathBuf, String), String> {
    let bytes = text.as_bytes();
    let (host, guest) = match bytes.windows(2).position(|pair| pair == b"::") {
        Some(at) => {
            let guest = std::str::from_utf8(&bytes[at + 2..]);
            let guest = guest
                .map_err(|_| format!("the guest's name of the folder, `{}`, is not UTF-8", names::escaped(&text)))?;
            (OsStr::from_bytes(&bytes[..at]), guest.to_owned())
        }
        None => (&*text, names::escaped(&text)),
    };
    if host.is_empty() || guest.is_empty() {
        return Err("write HOST or HOST::GUEST".to_owned());
    }
    Ok((PathBuf::from(host), guest))
}
