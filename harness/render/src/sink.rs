//! What a rendering of a document is: it has a name, an option that asks for it, and writes into whatever takes bytes.
//! `sinks.rs` has the table of them.

use std::io::{self, Write};

use super::Views;

/// What a rendering is written into.
pub type Out<'o> = dyn Write + Send + 'o;

/// What a rendering needs beside its document.
#[derive(Clone, Copy)]
pub struct RenderContext<'a> {
    /// What the document's own file is called, for renderings in which several documents are told apart.
    pub name: &'a str,
    /// How scenarios of each kind are shown.
    pub views: Views,
}

/// A rendering of documents of type `D`.
pub trait Sink<D>: Sync {
    /// What it is called, in a word: it stands before the place where it was written.
    fn name(&self) -> &'static str;

    /// The option that asks for it, without the dashes.
    fn option(&self) -> &'static str {
        self.name()
    }

    /// What the option's help says.
    fn help(&self) -> &'static str;

    /// Whether a document has anything that is rendered.
    fn has_any(&self, _document: &D) -> bool {
        true
    }

    /// Renders a document.
    ///
    /// # Errors
    /// When `out` cannot take it, or the document contradicts itself.
    fn write(&self, document: &D, context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()>;

    /// How several documents become one rendering; `None` where that makes no sense.
    fn collector(&self) -> Option<&dyn Collector<D>> {
        None
    }

    /// How to look at it; empty where that goes without saying.
    fn hint(&self, _document: &D) -> String {
        String::new()
    }
}

/// Renders several documents as one.
pub trait Collector<D> {
    /// Begins the rendering.
    ///
    /// # Errors
    /// When `out` cannot take it.
    fn begin<'o>(&self, out: &'o mut Out<'o>) -> io::Result<Box<dyn Several<D> + 'o>>;
}

/// A rendering to which documents are added one at a time, so that none is kept.
pub trait Several<D> {
    /// Adds a document, called `name`.
    ///
    /// # Errors
    /// When it cannot be written, or contradicts itself.
    fn add(&mut self, name: &str, document: &D) -> io::Result<()>;

    /// Writes what is left; gives what the rendering holds, as in `12 samples`.
    ///
    /// # Errors
    /// When it cannot be written.
    fn finish(self: Box<Self>) -> io::Result<String>;
}
