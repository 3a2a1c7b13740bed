//! Pages: one file each, which needs nothing else. No network, no fonts, no images; without script they are complete, with it tables sort and
//! filter. What guests, files and people are called is text from elsewhere: maud escapes all of it, and the policy of the page lets
//! nothing run but its own script.

mod charts;
mod comparison;
mod report;
mod site;
mod svg;
mod timeline;

use std::io;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::Report;
use super::grid::Grid;
use super::sink::{Out, RenderContext, Sink};
use wasiscope_model::comparison::Comparison;

pub use comparison::page as comparison_page;
pub use report::page as report_page;
pub use site::{Entry, index as index_page};

/// The page of a report or of a comparison.
#[derive(Clone, Copy, Debug)]
pub struct Page;

impl Sink<Report> for Page {
    fn name(&self) -> &'static str {
        "page"
    }

    fn option(&self) -> &'static str {
        "html"
    }

    fn help(&self) -> &'static str {
        "Also write the page: one file that needs nothing else"
    }

    fn write(&self, report: &Report, context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        out.write_all(report_page(report, context.views).as_bytes())
    }
}

impl Sink<Comparison> for Page {
    fn name(&self) -> &'static str {
        Sink::<Report>::name(self)
    }

    fn option(&self) -> &'static str {
        Sink::<Report>::option(self)
    }

    fn help(&self) -> &'static str {
        Sink::<Report>::help(self)
    }

    fn write(&self, comparison: &Comparison, _context: &RenderContext<'_>, out: &mut Out<'_>) -> io::Result<()> {
        out.write_all(comparison_page(comparison).as_bytes())
    }
}

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Of zstd: a tenth of a second for the default suite.
const LEVEL: i32 = 12;

/// Most characters of any one text that comes from elsewhere.
const TEXT_CHARS: usize = 2_000;

/// A whole page around its content.
fn shell(title: &str, header: &Markup, content: &Markup) -> String {
    let policy = format!(
        "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
        fingerprint(STYLE),
        fingerprint(SCRIPT)
    );
    let page = html! {
        (DOCTYPE)
        // By this a page is known as one of ours, and may be replaced.
        (PreEscaped("<!-- wasiscope -->"))
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("wasiscope ", env!("CARGO_PKG_VERSION")));
                title { (cut(title)) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                // No scenario's name has a slash in it, so ids of the page's own begin with one.
                a.skip href="#/content" { "to the content" }
                header { (header) }
                main id="/content" { (content) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    };
    page.into_string()
}

fn fingerprint(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Text from elsewhere, of bearable length.
fn cut(text: &str) -> String {
    if text.chars().count() <= TEXT_CHARS {
        return text.to_owned();
    }
    let more = text.chars().count() - TEXT_CHARS;
    format!("{}… ({more} more characters)", text.chars().take(TEXT_CHARS).collect::<String>())
}

/// A link to an id of this page. Whatever is in it, browsers decode it to that id.
fn link_to(id: &str) -> String {
    id.bytes().fold(String::from("#"), |mut link, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            link.push(char::from(byte));
        } else {
            link += &format!("%{byte:02X}");
        }
        link
    })
}

/// A table. Its region can be scrolled by keyboard too, where the screen is narrow.
fn table(grid: &Grid, label: &str) -> Markup {
    table_with(grid, label, &|_| None, &|_, _| None)
}

/// A table whose rows have ids and whose cells have classes.
fn table_with(
    grid: &Grid,
    label: &str,
    id: &dyn Fn(usize) -> Option<String>,
    class: &dyn Fn(usize, usize) -> Option<&'static str>,
) -> Markup {
    // The first column is read from the left unless it is said otherwise.
    let side = |column: usize| if column > 0 && grid.left.contains(&column) { "l" } else { "" };
    let class = |row: usize, column: usize, text: &str| {
        let long = if text.chars().count() > 60 { "t" } else { "" };
        let classes = [side(column), long, class(row, column).unwrap_or_default()];
        let classes: Vec<&str> = classes.into_iter().filter(|class| !class.is_empty()).collect();
        (!classes.is_empty()).then(|| classes.join(" "))
    };
    html! {
        div.wide tabindex="0" role="region" aria-label=(cut(label)) {
            table {
                thead { tr {
                    @for (column, heading) in grid.header.iter().enumerate() {
                        th scope="col" class=[Some(side(column)).filter(|side| !side.is_empty())] { (heading) }
                    }
                } }
                tbody {
                    @for (row, cells) in grid.rows.iter().enumerate() {
                        tr id=[id(row)] {
                            @for (column, text) in cells.iter().enumerate() {
                                td class=[class(row, column, text)] { (cut(text)) }
                            }
                        }
                    }
                }
            }
        }
        @for note in &grid.notes { @for line in note.lines() { p.dim { (cut(line)) } } }
    }
}

/// A document as it is shown: without texts that are too long to be read, which nobody has written. Names of such length would be in ids and
/// links too.
fn readable<D: Serialize + DeserializeOwned + Clone>(document: &D) -> D {
    let json = serde_json::to_vec(document).unwrap_or_default();
    // A text is what lies between quotes; few documents have one that long.
    if json.split(|byte| *byte == b'"').all(|text| text.len() <= TEXT_CHARS) {
        return document.clone();
    }
    let shortened = serde_json::from_slice(&json).map(shortened);
    shortened.and_then(serde_json::from_value).unwrap_or_else(|_| document.clone())
}

fn shortened(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(cut(&text)),
        Value::Array(values) => values.into_iter().map(shortened).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (cut(&name), shortened(value))).collect(),
        other => other,
    }
}

/// The document itself, to be saved from the page: packed, because as text it would be most of the page, and by zstd, because by gzip it would
/// be half of it.
fn save_link(name: &str, document: &impl Serialize) -> Markup {
    let packed =
        serde_json::to_vec(document).map_err(io::Error::from).and_then(|json| zstd::bulk::compress(&json, LEVEL));
    match packed {
        Ok(packed) => html! {
            p.tools { a download=(format!("{name}.json.zst"))
                href=(format!("data:application/zstd;base64,{}", STANDARD.encode(packed))) {
                "Save all of this as JSON (" (name) ".json.zst; zstd -d unpacks it)" } }
        },
        // Documents are JSON.
        Err(error) => html! { p.bad { "The document could not be put into this page: " (error.to_string()) } },
    }
}

#[cfg(test)]
mod tests;
