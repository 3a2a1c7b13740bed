//! Options for files, made from the table of renderings: `--html FILE`, `--junit FILE` and the others.

use std::collections::BTreeMap;
use std::io;
use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, value_parser};

use crate::code::{Code, Coded, fail};
use crate::kinds;
use crate::report::destination::{Destination, DestinationError};
use crate::report::sink::{RenderContext, Sink};
use crate::report::sinks::Document;

/// What is asked for, by option.
#[derive(Clone, Debug)]
pub(super) struct SinkArguments<D> {
    paths: BTreeMap<&'static str, PathBuf>,
    of: PhantomData<D>,
}

/// The options of the table.
pub(super) fn options<D: Document>() -> impl Iterator<Item = &'static str> {
    D::SINKS.iter().map(|sink| sink.option())
}

impl<D: Document> Args for SinkArguments<D> {
    fn augment_args(command: Command) -> Command {
        let option = |sink: &&dyn Sink<D>| {
            Arg::new(sink.option())
                .long(sink.option())
                .value_name("FILE")
                .value_parser(value_parser!(PathBuf))
                .help(sink.help())
        };
        command.args(D::SINKS.iter().map(option))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl<D: Document> FromArgMatches for SinkArguments<D> {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let path = |option| Some((option, matches.get_one::<PathBuf>(option)?.clone()));
        Ok(Self { paths: options::<D>().filter_map(path).collect(), of: PhantomData })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl<D: Document> SinkArguments<D> {
    /// Where the rendering of an option goes.
    pub(super) fn path(&self, option: &str) -> Option<&Path> {
        self.paths.get(option).map(PathBuf::as_path)
    }

    /// The options that are asked for, each with its file.
    pub(super) fn paths(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        options::<D>().filter_map(|option| Some((option, self.path(option)?)))
    }

    /// Asks for a rendering, unless it is asked for already.
    pub(super) fn ask_for(&mut self, option: &'static str, path: PathBuf) {
        self.paths.entry(option).or_insert(path);
    }

    /// Looks at every place.
    ///
    /// # Errors
    /// When a file cannot go there.
    pub(super) fn open(&self) -> anyhow::Result<Outputs<D>> {
        let wanted = D::SINKS.iter().filter_map(|sink| Some((*sink, self.path(sink.option())?)));
        let opened = wanted.map(|(sink, path)| Ok((sink, destination(&format!("--{}", sink.option()), path)?)));
        Ok(Outputs(opened.collect::<anyhow::Result<_>>()?))
    }
}

/// Where renderings go, looked at before anything is run.
pub(super) struct Outputs<D: 'static>(Vec<(&'static dyn Sink<D>, Destination)>);

impl<D: Document> Outputs<D> {
    /// The options with their places.
    pub(super) fn places(&self) -> impl Iterator<Item = (&'static str, &Destination)> {
        self.0.iter().map(|(sink, place)| (sink.option(), place))
    }

    /// The renderings with their places.
    pub(super) fn each(&self) -> impl Iterator<Item = (&'static dyn Sink<D>, &Destination)> {
        self.0.iter().map(|(sink, place)| (*sink, place))
    }

    /// Writes all that there is of a document that is called `name`. Each is told to `say` once it is written.
    ///
    /// # Errors
    /// When one cannot be written.
    pub(super) fn write(&self, document: &D, name: &str, say: &mut dyn FnMut(&str)) -> anyhow::Result<()> {
        for (sink, place) in self.each() {
            if sink.has_any(document) {
                write(sink, place, document, name)?;
                say(&format!("{}: {}{}", sink.name(), place.path().display(), sink.hint(document)));
            } else {
                say(&format!("{}: none written: no case got that far", sink.name()));
            }
        }
        Ok(())
    }
}

/// Writes one rendering.
///
/// # Errors
/// When it cannot be written.
pub(super) fn write<D>(sink: &dyn Sink<D>, place: &Destination, document: &D, name: &str) -> anyhow::Result<()> {
    let context = RenderContext { name, views: kinds::VIEWS };
    let written = place.write_with(|out| sink.write(document, &context, out));
    written.map_err(|error| cannot_write(place, error))
}

/// A document that was not written.
pub(super) fn cannot_write(place: &Destination, error: io::Error) -> anyhow::Error {
    anyhow::Error::new(Code::CannotWrite.error(error)).context(format!("cannot write {}", place.path().display()))
}

/// The place that an option names.
pub(super) fn destination(option: &str, path: &Path) -> anyhow::Result<Destination> {
    let named = |error: DestinationError| error.code().error(format!("{error} with {option} FILE")).into();
    Destination::check(path).map_err(named)
}

/// Two documents in one file would be one.
///
/// # Errors
/// When two options name one file.
pub(super) fn check_distinct<'a>(
    places: impl IntoIterator<Item = (&'static str, &'a Destination)>,
) -> anyhow::Result<()> {
    let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut seen = BTreeMap::new();
    for (option, place) in places.into_iter().filter(|(_, place)| place.is_file()) {
        if let Some(other) = seen.insert(absolute(place.path()), option) {
            fail!(
                SameFile,
                "--{other} and --{option} would both write to {}: name another place",
                place.path().display()
            );
        }
    }
    Ok(())
}
