//! `--metric` and `--tolerance`: names of metrics and facts, and by how much they may change.

use bytesize::ByteSize;
use globset::Glob;
use wasiscope_model::metrics::NUMERIC_FACTS;

use crate::compare::facts::{FactTolerance, Growth};
use crate::compare::live;
use crate::record::{TRAP_LATENCY, metric_of};
use crate::scenario;

pub(super) fn metric(text: &str) -> Result<String, String> {
    let names: Vec<String> = live::COMPARED.map(metric_of).into_iter().chain([TRAP_LATENCY.to_owned()]).collect();
    if names.iter().any(|name| name == text) {
        return Ok(text.to_owned());
    }
    let meant = names.iter().find(|name| name.strip_prefix("phase.") == Some(text)).map(String::as_str);
    let meant = meant.or_else(|| scenario::nearest(text, names.iter().map(String::as_str)));
    let meant = meant.map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default();
    Err(format!("`{text}` is not compared{meant}; what is: {}", names.join(", ")))
}

/// What `--tolerance` names.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Tolerance {
    /// So much of what a metric was.
    Metric(String, f64),
    /// By how much a fact may grow.
    Fact(FactTolerance),
}

pub(super) fn tolerance(text: &str) -> Result<Tolerance, String> {
    let (name, written) = text.split_once('=').ok_or("write NAME=AMOUNT, as in phase.run=2% or size.wasm=1KiB")?;
    let percent = |written: &str| {
        let number = written.trim().parse::<f64>().ok().filter(|percent| (0.0..=1000.0).contains(percent));
        number.map(|percent| percent / 100.0).ok_or_else(|| format!("`{written}` is not a percentage: write 2%"))
    };
    if let Some(fact) = fact(name)? {
        let growth = match written.strip_suffix('%') {
            Some(written) => Growth::Relative(percent(written)?),
            None => Growth::By(amount(written)?),
        };
        return Ok(Tolerance::Fact(FactTolerance { fact, growth, written: written.to_owned() }));
    }
    Ok(Tolerance::Metric(metric(name)?, percent(written.strip_suffix('%').unwrap_or(written))?))
}

/// The name of a fact, or a pattern that means one; `None` where a metric is named.
fn fact(name: &str) -> Result<Option<String>, String> {
    let glob = Glob::new(name).map_err(|error| format!("`{name}`: {}", error.kind()))?.compile_matcher();
    let is_fact =
        |known: &&str| glob.is_match(known) || Glob::new(known).is_ok_and(|of| of.compile_matcher().is_match(name));
    if NUMERIC_FACTS.iter().any(is_fact) {
        return Ok(Some(name.to_owned()));
    }
    // One that is like a fact's is not worth a list of metrics.
    let meant = scenario::nearest(name, NUMERIC_FACTS.iter().copied()).filter(|_| metric(name).is_err());
    let is_near = |meant: &str| name.split('.').next() == meant.split('.').next();
    match meant.filter(|meant| is_near(meant)) {
        Some(meant) => Err(format!("no fact is called `{name}` (did you mean `{meant}`?)")),
        None => Ok(None),
    }
}

fn amount(written: &str) -> Result<u64, String> {
    let size = written.trim().parse::<ByteSize>();
    size.map(|size| size.0).map_err(|_| format!("`{written}` is not an amount: write 1KiB, 100 or 2%"))
}
