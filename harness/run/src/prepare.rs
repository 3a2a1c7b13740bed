//! From cases to cases with guests: built, found, or copied.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::code::code_of;
use crate::runner::{InputFiles, Prepared};
use wasiscope_guest::guest::{self, Artifact, GuestError, NoGuest};
use wasiscope_guest::module::{self, Imports, ModuleError};
use wasiscope_guest::places::Places;
use wasiscope_kinds as kinds;
use wasiscope_model::code::Code;
use wasiscope_model::fail;
use wasiscope_model::record::Status;
use wasiscope_scenario::Engine;
use wasiscope_scenario::plan::{Case, Directory, GuestSource, Input, START_NOT_CALLED};
use wasiscope_sys::folder;

/// Checks what can be known of one case before anything is built or run: its guest, and its engine.
///
/// # Errors
/// When the guest is no module, or has no such function, or the engine is refused.
pub fn check(case: &Case) -> anyhow::Result<()> {
    match &case.guest {
        GuestSource::File(path) => {
            let wasm = module::read(path)?;
            check_module(case, &wasm).with_context(|| path.display().to_string())?;
            if case.input.start_first && !module::exports_function(&wasm, "_start") {
                fail!(
                    NoSuchFunction,
                    "{}: --start-first calls `_start`, which it does not export: leave the option out",
                    path.display()
                );
            }
        }
        GuestSource::Cargo(own) => guest::check_own(own).with_context(|| format!("scenario {}", case.scenario))?,
        GuestSource::Built { .. } | GuestSource::Command(_) | GuestSource::Written { .. } | GuestSource::Modules => {}
    }
    let Some(settings) = case.engine.settings else { return Ok(()) };
    wasiscope_engines::check_engine(settings, &case.limits).map_err(|reason| {
        let message = format!("{}: engine {}: wasmtime refuses it: {reason}", case.scenario, case.engine.name);
        Code::InvalidEngine.error(message).into()
    })
}

/// What the guest of a case may import; `None` where that is not known here: handlers of events are offered other things, and so may
/// guests be by another program than wasmtime.
fn imports(case: &Case) -> Option<Imports<'_>> {
    let is_known = kinds::of(case.kind).offers_wasi(case) && case.engine.program == Engine::usual().program;
    is_known.then(|| Imports { offered: wasiscope_engines::offered_imports(), stubs: case.input.stub_imports })
}

/// What a user should know of a case that can be run: `None` when there is nothing.
#[must_use]
pub fn warning(case: &Case) -> Option<String> {
    let path = case.file()?;
    let exports_start = || module::read(path).is_ok_and(|wasm| module::exports_function(&wasm, "_start"));
    (case.input.leaves_start_out() && exports_start()).then(|| format!("{}: {START_NOT_CALLED}", path.display()))
}

/// Checks that a module has the function that the case calls, and imports only what is offered.
///
/// # Errors
/// When it is no module, or has no such function.
pub fn check_module(case: &Case, wasm: &[u8]) -> Result<(), ModuleError> {
    let call = case.input.invoke.as_deref().map(|name| (name, &case.input.args[..]));
    let (function, args) = kinds::of(case.kind).entry(case);
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    let usual = (function, &args[..]);
    module::check(wasm, call.unwrap_or(usual), imports(case))
}

/// Builds or finds the guest of every case; guests given as files are copied to `scratch`. What cannot be built, or is no
/// module, becomes a failed row: whoever wants an error of it calls [`check`] before.
///
/// # Errors
/// When a guest cannot be copied.
pub fn prepare(
    places: &Places,
    cases: Vec<Case>,
    scratch: &Path,
    say: &mut dyn FnMut(&str),
) -> anyhow::Result<Vec<Prepared>> {
    let wanted: BTreeSet<_> = cases
        .iter()
        .filter_map(|case| match &case.guest {
            GuestSource::Built { flavour, workload } => Some((*flavour, workload.clone())),
            _ => None,
        })
        .collect();
    let built = guest::build(places, &wanted, say);
    let mut prepared = Vec::with_capacity(cases.len());
    let mut copies = Copies::new(scratch);
    for case in cases {
        let files = copies.files_of(&case.input)?;
        let guest = match &case.guest {
            GuestSource::Built { flavour, workload } => built[&(*flavour, workload.clone())].clone(),
            GuestSource::File(path) => match check(&case) {
                Err(error) => Err(no_guest(&error, format!("{error:#}"))),
                Ok(()) => Ok(own_copy(path, scratch)?),
            },
            GuestSource::Cargo(own) => built_by_user(&case, guest::build_own(places, own, say), scratch)?,
            GuestSource::Command(own) => built_by_user(&case, guest::run_command(own, say), scratch)?,
            GuestSource::Modules => Ok(of_modules(&case)),
            GuestSource::Written { name, text } => Ok(written(scratch, name, text)?),
        };
        let guest = guest.and_then(|artifact| has_engine(&case).map(|()| artifact));
        prepared.push(Prepared { case, guest, files, watch: true });
    }
    Ok(prepared)
}

/// A case whose engine is not installed is skipped.
fn has_engine(case: &Case) -> Result<(), NoGuest> {
    let Some(program) = case.engine.program else { return Ok(()) };
    program.executable().map(drop).map_err(|name| NoGuest {
        status: Status::Skipped,
        code: Code::NoEngine,
        reason: format!(
            "no `{name}` beside wasiscope or on PATH, which runs guests for the engine {}",
            case.engine.name
        ),
    })
}

/// The failed row of an error.
pub fn no_guest(error: &anyhow::Error, reason: String) -> NoGuest {
    NoGuest { status: Status::Failed, code: code_of(error).unwrap_or(Code::NotRun), reason }
}

/// Copies of what guests are given, each made once in a run.
struct Copies<'a> {
    scratch: &'a Path,
    folders: BTreeMap<PathBuf, PathBuf>,
}

impl<'a> Copies<'a> {
    fn new(scratch: &'a Path) -> Self {
        Self { scratch, folders: BTreeMap::new() }
    }

    fn files_of(&mut self, input: &Input) -> anyhow::Result<InputFiles> {
        let originals = input.directories.iter().map(|folder| self.original(folder)).collect::<anyhow::Result<_>>()?;
        let stdin = input.stdin.as_ref().map(|bytes| place(OsStr::new("stdin"), bytes, self.scratch)).transpose()?;
        Ok(InputFiles { originals, stdin })
    }

    /// The copy of a folder; none of one that is shared.
    fn original(&mut self, folder: &Directory) -> anyhow::Result<Option<PathBuf>> {
        if folder.shared {
            return Ok(None);
        }
        if let Some(copy) = self.folders.get(&folder.host) {
            return Ok(Some(copy.clone()));
        }
        let copy = self.scratch.join(format!("given-{}", self.folders.len()));
        folder::copy(&folder.host, &copy).with_context(|| {
            format!("cannot copy {} (--dir-shared lets the guest work in it itself)", folder.host.display())
        })?;
        self.folders.insert(folder.host.clone(), copy.clone());
        Ok(Some(copy))
    }
}

/// A guest of the user's own, just built.
fn built_by_user(
    case: &Case,
    built: Result<Artifact, GuestError>,
    scratch: &Path,
) -> anyhow::Result<Result<Artifact, NoGuest>> {
    Ok(match built {
        Ok(artifact) => match check_built(case, &artifact)? {
            Ok(()) => Ok(kept(artifact, scratch)?),
            Err(error) => {
                let reason = match &case.guest {
                    GuestSource::Command(own) => format!("{}: {error}", own.out.display()),
                    _ => error.to_string(),
                };
                Err(no_guest(&error.into(), reason))
            }
        },
        Err(error) => Err(error.into()),
    })
}

/// Whether a guest that was just built imports what nobody offers. What a command leaves may be no module at all.
fn check_built(case: &Case, artifact: &Artifact) -> anyhow::Result<Result<(), ModuleError>> {
    if case.is_native() {
        return Ok(Ok(()));
    }
    let wasm = fs::read(&artifact.path).with_context(|| artifact.path.display().to_string())?;
    if matches!(case.guest, GuestSource::Command(_)) {
        return Ok(check_module(case, &wasm));
    }
    Ok(match check_module(case, &wasm) {
        Err(error @ ModuleError::Imports(_)) => Err(error),
        _ => Ok(()),
    })
}

/// A guest of this tool's own, assembled.
fn written(scratch: &Path, name: &str, text: &str) -> anyhow::Result<Artifact> {
    let path = scratch.join(format!("{name}.wasm"));
    fs::write(&path, module::assemble(text)?)?;
    Ok(Artifact::of_file(&path)?)
}

/// The modules that a worker makes by itself, which are in no file.
fn of_modules(case: &Case) -> Artifact {
    let (sha256, bytes) = kinds::of(case.kind).fingerprint(&case.spec, &case.engine);
    Artifact { path: PathBuf::new(), sha256, bytes, toolchain: None, flags: None }
}

/// The next build of a crate, at another revision too, puts its guest in the same place.
fn kept(artifact: Artifact, scratch: &Path) -> anyhow::Result<Artifact> {
    let bytes = fs::read(&artifact.path).with_context(|| artifact.path.display().to_string())?;
    let name = artifact.path.file_name().unwrap_or(OsStr::new("guest.wasm")).to_owned();
    let path = place(&name, &bytes, scratch)?;
    // A native one is executed.
    fs::set_permissions(&path, fs::metadata(&artifact.path)?.permissions())?;
    Ok(Artifact { path, ..artifact })
}

/// Writes a guest under its name, which is the first of its arguments, into a folder of its own: others may be called so too.
fn place(name: &OsStr, bytes: &[u8], scratch: &Path) -> anyhow::Result<PathBuf> {
    let hash = Artifact::of_bytes(Path::new(""), bytes).sha256;
    let folder = scratch.join(&hash[..16]);
    let path = folder.join(name);
    let written = fs::create_dir_all(&folder).and_then(|()| fs::write(&path, bytes));
    written.map_err(|error| Code::CannotWrite.error(format!("cannot write {}: {error}", path.display())))?;
    Ok(path)
}

/// A file that somebody may change or delete while it is being measured is copied first; text is assembled.
fn own_copy(path: &Path, scratch: &Path) -> anyhow::Result<Artifact> {
    let name = path.with_extension("wasm");
    let bytes = module::read(path)?;
    Ok(Artifact::of_bytes(&place(name.file_name().unwrap_or(OsStr::new("guest.wasm")), &bytes, scratch)?, &bytes))
}
