//! `markdown`: text with structure, turned into HTML.

use core::fmt::Write as _;
use core::hint::black_box;
use heap::string::String;

use markdown_syntax::SyntaxOptions;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::text::word;
use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "markdown",
    summary: "Turns a generated document of n sections (heading, paragraph with emphasis, code and a link, list, \
              quote, code block) from CommonMark into HTML, with markdown-syntax: text into a tree of many small \
              blocks of memory, the tree checked, the tree into text. Branchy code with a large footprint and much \
              allocation.",
    default_n: 64,
    run: |host, n| run(host, n),
};

/// Renders `n` sections. The check is the FNV-1a of the HTML.
///
/// The document is generated before the start mark.
///
/// # Errors
/// If the tree was not one that can be rendered, or the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let document = generate(n);
    measure(host, n, |_, _| {
        let html = render(black_box(&document))?;
        let mut check = Fnv1a::new();
        check.update(html.as_bytes());
        Ok(check.finish())
    })
}

fn render(document: &str) -> Result<String, HostError> {
    let tree = SyntaxOptions::commonmark().parse(document).document;
    tree.to_html().map_err(|_| HostError { operation: "rendering", errno: None })
}

fn generate(n: u64) -> String {
    let mut random = SplitMix64::new(SEED);
    let mut text = String::new();
    for section in 1..=n {
        let [a, b, c, d, e, f, g, h] = core::array::from_fn(|_| word(&mut random));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "## {section}. {a} {b}\n\n\
             {c} *{d}* {e} **{f}** {g} & `{h} < {a}`\n{b} [{c}](https://example.org/{d}) {e} \\* {f}.\n\n\
             * {g}\n* {h} {a}\n  * {b}\n* {c}\n\n\
             > {d} {e}\n> {f}\n\n\
             ```\nlet {g} = {h} > {a};\n```\n\n"
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The FNV-1a in Python of what pulldown-cmark and markdown-rs, two other implementations, agree on, but without
    /// the line feed at its end.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0xcbf2_9ce4_8422_2325),
            (1, 0x3ac6_d8d9_0477_bd21),
            (12, 0x7f5a_cd5a_b001_f7fb),
            (100, 0x8c4d_88cc_e3dc_55c5),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
