//! The charts. Each stands beside a table with its figures.

use std::collections::BTreeMap;

use maud::{Markup, html};
use wasiscope_ebpf_abi::Phase;

use super::cut;
use super::svg::{Scale, axis, dots, place};
use crate::capture::Distribution;
use crate::record::{self, Facts};
use crate::report::document::{CaseReport, Measurement, Spread};
use crate::units;

/// Width of a chart, and how much of it names take.
const WIDTH: f64 = 900.0;
const NAMES: f64 = 260.0;
const BAR: f64 = 14.0;
const STEP: f64 = 20.0;
/// Most bars in one chart: more could not be told apart.
const BARS: usize = 60;

/// The phases of a guest's startup, in order, and its `run`.
const STARTUP: [Phase; 7] =
    [Phase::Spawn, Phase::Engine, Phase::Compile, Phase::Link, Phase::InstantiateCold, Phase::Init, Phase::Run];

/// A bar of parts.
struct Bar {
    name: String,
    link: String,
    parts: Vec<(usize, String, f64)>,
}

/// Horizontal bars from zero, with a legend.
fn stacked(title: &str, bars: &[Bar], legend: &[&str], shown: &dyn Fn(f64) -> String) -> Option<Markup> {
    let whole = |bar: &Bar| bar.parts.iter().map(|(_, _, value)| value).sum::<f64>();
    let most = bars.iter().map(whole).fold(0.0, f64::max);
    if bars.is_empty() || most <= 0.0 {
        return None;
    }
    let left_out = bars.len().saturating_sub(BARS);
    let bars = &bars[..bars.len().min(BARS)];
    let scale = Scale::from_zero(most, NAMES, WIDTH - 90.0);
    let height = 24.0 + bars.len() as f64 * STEP;
    let drawing = html! {
        // A group and no image: it has links in it.
        svg role="group" aria-label=(title) viewBox=(format!("0 0 {WIDTH} {}", height + 24.0)) width=(WIDTH) {
            @let mut x = NAMES;
            @for (index, name) in legend.iter().enumerate() {
                rect class=(format!("s{}", index % 8)) x=(place(x)) y="2" width="10" height="10" {}
                text x=(place(x + 14.0)) y="11" { (name) }
                @let () = x += 30.0 + name.chars().count() as f64 * 6.2;
            }
            @for (row, bar) in bars.iter().enumerate() {
                @let y = 24.0 + row as f64 * STEP;
                a href=(bar.link) { text x=(place(NAMES - 8.0)) y=(place(y + 11.0)) text-anchor="end" { (short(&bar.name)) } }
                @let mut from = 0.0;
                @for (class, name, value) in &bar.parts {
                    @let (left, right) = (scale.at(from), scale.at(from + value));
                    @if right - left >= 0.05 {
                        rect class=(format!("s{}", class % 8)) x=(place(left)) y=(place(y)) width=(format!("{:.1}", right - left)) height=(BAR) {
                            title { (bar.name) ": " (name) " " (shown(*value)) }
                        }
                    }
                    @let () = from += value;
                }
                text x=(place(scale.at(from) + 6.0)) y=(place(y + 11.0)) { (shown(from)) }
            }
            (axis(&scale, height, &|tick| if tick == 0.0 { "0".to_owned() } else { shown(tick) }))
        }
    };
    Some(html! {
        figure {
            div.wide tabindex="0" role="region" aria-label=(title) { (drawing) }
            figcaption { (title) @if left_out > 0 { " (the first " (BARS) "; the table has " (left_out) " more)" } }
        }
    })
}

/// A name that fits before a bar.
fn short(name: &str) -> String {
    const CHARS: usize = 40;
    if name.chars().count() <= CHARS {
        return name.to_owned();
    }
    name.chars().take(CHARS - 1).collect::<String>() + "…"
}

/// What a guest costs before and while it works.
pub(super) fn startup(cases: &[(&CaseReport, String)]) -> Option<Markup> {
    let bar = |(case, link): &(&CaseReport, String)| {
        let part = |(index, phase): (usize, Phase)| {
            let metric = record::metric_of(phase);
            let found = case.measurements.iter().find(|found| found.metric == metric)?;
            Some((index, phase.name().to_owned(), found.summary.median))
        };
        let parts: Vec<_> = STARTUP.into_iter().enumerate().filter_map(part).collect();
        Bar { name: case.id.clone(), link: link.clone(), parts }
    };
    let bars: Vec<Bar> = cases.iter().map(bar).filter(|bar| !bar.parts.is_empty()).collect();
    let legend = STARTUP.map(Phase::name);
    stacked("Medians of the phases, one after the other (one instance, cold)", &bars, &legend, &units::duration)
}

/// Where the bytes of the guests are, each guest once.
pub(super) fn sizes(cases: &[(&CaseReport, String)]) -> Option<Markup> {
    const KIB: f64 = 1024.0;
    const LEGEND: [&str; 4] = ["code", "data", "custom", "others"];
    let mut seen = Vec::new();
    let mut bars = Vec::new();
    for (case, link) in cases {
        let Some(artifact) = &case.artifact else { continue };
        if seen.contains(&&artifact.sha256) {
            continue;
        }
        seen.push(&artifact.sha256);
        let section = |name: &str| case.facts.get(&format!("size.section.{name}")).and_then(serde_json::Value::as_f64);
        let named = ["code", "data", "custom"].map(|name| section(name).unwrap_or(0.0));
        let Some(whole) = case.facts.get("size.wasm").and_then(serde_json::Value::as_f64) else { continue };
        let others = (whole - named.iter().sum::<f64>()).max(0.0);
        // In the unit of the axis, so that its ticks are round.
        let values = named.into_iter().chain([others]).map(|bytes| bytes / KIB);
        let parts = values.zip(LEGEND).enumerate().map(|(index, (value, name))| (index, name.to_owned(), value));
        let name = format!("{}/{}", case.workload, case.flavour);
        bars.push(Bar { name, link: link.clone(), parts: parts.collect() });
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are whole and not below 0")]
    stacked("Bytes of the guests by section", &bars, &LEGEND, &|kib| units::bytes((kib.max(0.0) * KIB).round() as u64))
}

/// Every sample of a measurement, its median and its interval, as one line of a table.
pub(super) fn strip(measurement: &Measurement) -> Markup {
    const WIDE: f64 = 340.0;
    let lanes = measurement.samples.len().clamp(1, 12) as f64;
    let height = 10.0 + lanes * 2.0;
    let values = measurement.samples.iter().flatten().copied();
    let Some(scale) = Scale::around(values, 4.0, WIDE - 4.0) else { return html! { "–" } };
    let summary = &measurement.summary;
    let how = if scale.is_log() { ", logarithmic" } else { "" };
    let label = format!(
        "{} samples of {} processes from {} to {}{how}; median {}",
        summary.n,
        summary.processes,
        value(measurement, summary.min),
        value(measurement, summary.max),
        value(measurement, summary.median)
    );
    html! {
        svg role="img" viewBox=(format!("0 0 {WIDE} {height}")) width=(WIDE) height=(height) {
            title { (label) }
            path.dots d=(dots(&measurement.samples, &scale, 2.0, height - 4.0)) {}
            @if let Some((low, high)) = summary.ci_low.zip(summary.ci_high) {
                path.ci d=(format!("M{} {}H{}", place(scale.at(low)), place(height / 2.0), place(scale.at(high)))) {}
            }
            path.mid d=(format!("M{} 1v{}", place(scale.at(summary.median)), place(height - 2.0))) {}
        }
    }
}

/// A figure of a measurement in the unit that people read.
pub(super) fn value(measurement: &Measurement, value: f64) -> String {
    match measurement.unit.as_str() {
        "ns" => units::duration(value),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are whole and not below 0")]
        "bytes" => units::bytes(value.max(0.0) as u64),
        _ => format!("{value:.3}"),
    }
}

/// How long waits were: a bar for each bucket that has any, by the logarithm of its duration.
pub(super) fn histogram(title: &str, waits: &Distribution) -> Option<Markup> {
    const WIDE: f64 = 420.0;
    const HIGH: f64 = 70.0;
    /// Width of a bar.
    const COLUMN: f64 = 6.0;
    /// Of fewer the table's figures say all.
    const FEWEST: u64 = 20;
    let bounds = waits.buckets.iter().map(|(upper, _)| (*upper).max(1) as f64);
    if waits.count < FEWEST {
        return None;
    }
    let first = bounds.clone().fold(f64::INFINITY, f64::min) / 2.0;
    let scale = Scale::around(
        [first.max(1.0), bounds.fold(1.0, f64::max) * 1.01, first.max(1.0) * 40.0].into_iter(),
        8.0,
        WIDE - 8.0,
    )?;
    // Buckets that would lie on each other are one bar, and all bars one path: there are thousands of them on a page.
    let mut bars: BTreeMap<u64, u64> = BTreeMap::new();
    for (upper, count) in &waits.buckets {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place within the chart")]
        let column = (scale.at((*upper).max(1) as f64) / COLUMN).max(0.0) as u64;
        *bars.entry(column).or_default() += count;
    }
    let most = bars.values().copied().max()?;
    let bar = |(column, count): (&u64, &u64)| {
        let high = place((HIGH * *count as f64 / most as f64).max(1.0));
        format!("M{} {HIGH}v-{high}h5v{high}", place(*column as f64 * COLUMN))
    };
    let bars: String = bars.iter().map(bar).collect();
    let label = format!(
        "{title}: {} in all, the longest {}",
        waits.count,
        waits.max.map_or("–".to_owned(), |ns| units::duration(ns as f64))
    );
    Some(html! {
        figure {
            svg role="img" aria-label=(label) viewBox=(format!("0 0 {WIDE} {}", HIGH + 24.0)) width=(WIDE) {
                path.bar d=(bars) {}
                (axis(&scale, HIGH, &units::duration))
            }
            figcaption { (label) }
        }
    })
}

/// How samples of an experiment are spread: the share that is longer, on axes on which a tail shows.
pub(super) fn percentiles(title: &str, curves: &[(String, &Spread)]) -> Option<Markup> {
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 640.0;
    const HIGH: f64 = 260.0;
    /// The rarest that is drawn: one in ten thousand.
    const RAREST: f64 = 1e-4;
    let values = curves.iter().flat_map(|(_, spread)| [spread.p50, spread.p90, spread.p99, spread.max]);
    let scale = Scale::around(values.filter(|value| *value > 0.0), HIGH, 10.0)?;
    let across = |longer: f64| LEFT + (RIGHT - LEFT) * (longer.max(RAREST).log10() / RAREST.log10());
    let curve = |spread: &Spread| {
        let all: u64 = spread.buckets.iter().map(|(_, count)| count).sum();
        let mut below = 0;
        let mut path = String::new();
        for (upper, count) in &spread.buckets {
            let longer = 1.0 - below as f64 / all.max(1) as f64;
            below += count;
            let (x, y) = (place(across(longer)), place(scale.at((*upper as f64).min(spread.max))));
            path += &format!("{}{x} {y}", if path.is_empty() { "M" } else { "L" });
        }
        let end = across(1.0 / all.max(1) as f64);
        path + &format!("L{} {}", place(end), place(scale.at(spread.max)))
    };
    let mut labels: Vec<(f64, &str)> =
        curves.iter().map(|(name, spread)| (scale.at(spread.max), name.as_str())).collect();
    labels.sort_by(|(left, _), (right, _)| left.total_cmp(right));
    // Names that would cover each other are moved apart, downwards.
    let mut lowest = f64::NEG_INFINITY;
    for (y, _) in &mut labels {
        *y = y.max(lowest + 12.0);
        lowest = *y;
    }
    let height = (HIGH + 34.0).max(lowest + 16.0);
    Some(html! {
        figure {
            div.wide tabindex="0" role="region" aria-label=(title) {
                svg role="img" aria-label=(title) viewBox=(format!("0 0 {WIDTH} {height}")) width=(WIDTH) {
                    @for tick in scale.ticks() {
                        path.axis d=(format!("M{LEFT} {}H{RIGHT}", place(scale.at(tick)))) {}
                        text.tick x=(LEFT - 6.0) y=(place(scale.at(tick) + 4.0)) text-anchor="end" { (units::duration(tick)) }
                    }
                    @for (share, name) in [(1.0, "all"), (0.5, "p50"), (0.1, "p90"), (0.01, "p99"), (0.001, "p99.9"), (1e-4, "p99.99")] {
                        text.tick x=(place(across(share))) y=(HIGH + 20.0) text-anchor="middle" { (name) }
                    }
                    @for (name, spread) in curves {
                        path.curve d=(curve(spread)) { title { (name) ": p50 " (units::duration(spread.p50)) ", p99 " (units::duration(spread.p99)) ", max " (units::duration(spread.max)) } }
                    }
                    @for (y, name) in &labels {
                        text x=(RIGHT + 8.0) y=(place(y + 4.0)) { (short(name)) }
                    }
                }
            }
            figcaption { (title) ": how long, by the share that is no longer; to the right the rarer ones, up to the longest. Names stand at the ends of their curves, from the shortest down." }
        }
    })
}

/// A ratio with its interval.
pub(super) struct Ratio {
    pub(super) name: String,
    pub(super) link: Option<String>,
    pub(super) ratio: f64,
    pub(super) low: f64,
    pub(super) high: f64,
    /// What is let pass, as a share.
    pub(super) tolerance: f64,
    /// In a word.
    pub(super) verdict: &'static str,
}

/// Ratios with their intervals around 1, each in the zone that is let pass.
pub(super) fn forest(title: &str, ratios: &[Ratio]) -> Option<Markup> {
    let ends = ratios.iter().flat_map(|of| [of.low, of.high, of.ratio, 1.0 - of.tolerance, 1.0 + of.tolerance, 1.0]);
    let scale = Scale::around(ends, NAMES + 70.0, WIDTH - 100.0).filter(|_| !ratios.is_empty())?;
    let left_out = ratios.len().saturating_sub(BARS);
    let shown = &ratios[..ratios.len().min(BARS)];
    let height = 10.0 + shown.len() as f64 * STEP;
    let class = |verdict: &str| match verdict {
        "regressed" => "bad",
        "improved" => "good",
        "inconclusive" => "doubt",
        _ => "dim",
    };
    Some(html! {
        figure {
            div.wide tabindex="0" role="region" aria-label=(title) {
                // A group and no image: it has links in it.
        svg role="group" aria-label=(title) viewBox=(format!("0 0 {WIDTH} {}", height + 24.0)) width=(WIDTH) {
                    @for (row, of) in shown.iter().enumerate() {
                        @let y = 8.0 + row as f64 * STEP;
                        @let (from, to) = (scale.at(1.0 - of.tolerance), scale.at(1.0 + of.tolerance));
                        rect.zone x=(place(from)) y=(place(y - 6.0)) width=(format!("{:.1}", to - from)) height=(STEP - 4.0) {}
                        @let name = html! { text x=(place(NAMES + 60.0)) y=(place(y + 4.0)) text-anchor="end" { (short(&of.name)) } };
                        @if let Some(link) = &of.link { a href=(link) { (name) } } @else { (name) }
                        path.ci d=(format!("M{} {}H{}", place(scale.at(of.low)), place(y), place(scale.at(of.high)))) {}
                        path.mid d=(format!("M{} {}v10", place(scale.at(of.ratio)), place(y - 5.0))) {
                            title { (of.name) ": " (units::change(of.ratio)) " (" (units::change(of.low)) " … " (units::change(of.high)) ")" }
                        }
                        text class=(class(of.verdict)) x=(place(WIDTH - 92.0)) y=(place(y + 4.0)) { (of.verdict) }
                    }
                    path.zero d=(format!("M{} 0V{}", place(scale.at(1.0)), place(height))) {}
                    (axis(&scale, height, &units::change))
                }
            }
            figcaption { (title) "; the band is what is let pass" @if left_out > 0 { " (the first " (BARS) "; the table has " (left_out) " more)" } }
        }
    })
}

/// The ratios of workers, each a dot, around 1.
pub(super) fn cloud(title: &str, ratios: &[Vec<f64>]) -> Option<Markup> {
    const WIDE: f64 = 420.0;
    let scale = Scale::around(ratios.iter().flatten().copied().chain([1.0]), 28.0, WIDE - 28.0)?;
    Some(html! {
        figure {
            svg role="img" aria-label=(title) viewBox=(format!("0 0 {WIDE} 44")) width=(WIDE) {
                path.zero d=(format!("M{} 0V20", place(scale.at(1.0)))) {}
                path.dots d=(dots(ratios, &scale, 2.0, 16.0)) {}
                (axis(&scale, 20.0, &units::change))
            }
            figcaption { (cut(title)) }
        }
    })
}

/// The size of a guest, function by function.
pub(super) fn functions(facts: &Facts) -> Vec<(String, u64)> {
    let largest = facts.get("functions.largest").and_then(serde_json::Value::as_array).into_iter().flatten();
    largest.filter_map(|function| Some((function["name"].as_str()?.to_owned(), function["bytes"].as_u64()?))).collect()
}

/// A history as a line, with its steps.
pub(super) fn sparkline(values: &[f64], steps: &[usize], label: &str) -> Markup {
    const WIDE: f64 = 260.0;
    const HIGH: f64 = 34.0;
    let Some(scale) = Scale::around(values.iter().copied(), HIGH - 4.0, 4.0) else { return html! { "–" } };
    let across = |index: usize| 4.0 + index as f64 * (WIDE - 8.0) / values.len().saturating_sub(1).max(1) as f64;
    let path: String = values
        .iter()
        .enumerate()
        .map(|(index, value)| {
            format!("{}{} {}", if index == 0 { "M" } else { "L" }, place(across(index)), place(scale.at(*value)))
        })
        .collect();
    html! {
        svg role="img" aria-label=(label) viewBox=(format!("0 0 {WIDE} {HIGH}")) width=(WIDE) height=(HIGH) {
            title { (label) }
            path.curve d=(path) {}
            @for step in steps { path.ci d=(format!("M{} 1V{}", place(across(*step)), HIGH - 1.0)) {} }
        }
    }
}
