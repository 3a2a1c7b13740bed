//! The charts. Each stands beside a table with its figures. `svg.rs` says why they are our own.

use std::collections::{BTreeMap, BTreeSet};

use maud::{Markup, html};
use wasiscope_ebpf_abi::Phase;

use super::cut;
use super::svg::{Scale, axis, dots, place};
use wasiscope_model::events::Distribution;
use wasiscope_model::record::{self, Facts};
use wasiscope_model::report::{CaseReport, Measurement, Spread};
use wasiscope_model::units;
use wasiscope_stats as stats;

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
pub(crate) fn startup(cases: &[(&CaseReport, String)]) -> Option<Markup> {
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
pub(crate) fn sizes(cases: &[(&CaseReport, String)]) -> Option<Markup> {
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
pub(crate) fn strip(measurement: &Measurement) -> Markup {
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
pub(crate) fn value(measurement: &Measurement, value: f64) -> String {
    match measurement.unit.as_str() {
        "ns" => units::duration(value),
        "us" => units::duration(value * 1_000.0),
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes are whole and not below 0")]
        "bytes" => units::bytes(value.max(0.0) as u64),
        _ => format!("{value:.3}"),
    }
}

/// How long waits were: a bar for each bucket that has any, by the logarithm of its duration.
pub(crate) fn histogram(title: &str, waits: &Distribution) -> Option<Markup> {
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
        let sum = bars.entry(column).or_default();
        *sum = sum.saturating_add(*count);
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
pub(crate) fn percentiles<'a>(title: &str, curves: &'a [(String, Spread)]) -> Option<Markup> {
    const LEFT: f64 = 70.0;
    const RIGHT: f64 = 640.0;
    const HIGH: f64 = 260.0;
    /// The rarest that is drawn: one in ten thousand.
    const RAREST: f64 = 1e-4;
    let values = curves.iter().flat_map(|(_, spread)| [spread.p50, spread.p90, spread.p99, spread.max]);
    let scale = Scale::around(values.filter(|value| *value > 0.0), HIGH, 10.0)?;
    let across = |longer: f64| LEFT + (RIGHT - LEFT) * (longer.max(RAREST).log10() / RAREST.log10());
    let curve = |spread: &Spread| {
        let all = stats::total(spread.buckets.iter().map(|(_, count)| *count));
        let mut below = 0_u64;
        let mut path = String::new();
        for (upper, count) in &spread.buckets {
            let longer = 1.0 - below as f64 / all.max(1) as f64;
            below = below.saturating_add(*count);
            let (x, y) = (place(across(longer)), place(scale.at((*upper as f64).min(spread.max))));
            path += &format!("{}{x} {y}", if path.is_empty() { "M" } else { "L" });
        }
        let end = across(1.0 / all.max(1) as f64);
        path + &format!("L{} {}", place(end), place(scale.at(spread.max)))
    };
    struct Label<'a> {
        name: &'a str,
        class: String,
        end: (f64, f64),
        y: f64,
    }
    let label = |(index, (name, spread)): (usize, &'a (String, Spread))| {
        let all = stats::total(spread.buckets.iter().map(|(_, count)| *count));
        let end = (across(1.0 / all.max(1) as f64), scale.at(spread.max));
        Label { name, class: format!("c{}", index % 8), end, y: end.1 }
    };
    let mut labels: Vec<Label<'_>> = curves.iter().enumerate().map(label).collect();
    labels.sort_by(|one, other| one.y.total_cmp(&other.y));
    // Names that would cover each other are moved apart, downwards.
    let mut lowest = f64::NEG_INFINITY;
    for label in &mut labels {
        label.y = label.y.max(lowest + 12.0);
        lowest = label.y;
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
                    @for (index, (name, spread)) in curves.iter().enumerate() {
                        path class=(format!("curve c{}", index % 8)) d=(curve(spread)) { title { (name) ": p50 " (units::duration(spread.p50)) ", p99 " (units::duration(spread.p99)) ", max " (units::duration(spread.max)) } }
                    }
                    @for label in &labels {
                        path.joined d=(format!("M{} {}L{RIGHT} {}h14", place(label.end.0), place(label.end.1), place(label.y))) {}
                        path class=(format!("curve {}", label.class)) d=(format!("M{} {}h14", RIGHT + 2.0, place(label.y))) {}
                        text x=(RIGHT + 20.0) y=(place(label.y + 4.0)) { (short(label.name)) }
                    }
                }
            }
            figcaption { (title) ": how long, by the share that is no longer; to the right the rarer ones, up to the longest. The names are in the order of the longest, and a line leads from each curve's end to its name." }
        }
    })
}

/// A ratio with its interval.
pub(crate) struct Ratio {
    pub(crate) name: String,
    pub(crate) link: Option<String>,
    pub(crate) ratio: f64,
    pub(crate) low: f64,
    pub(crate) high: f64,
    /// What is let pass, as a share.
    pub(crate) tolerance: f64,
    /// In a word.
    pub(crate) verdict: &'static str,
}

/// Ratios with their intervals around 1, each in the zone that is let pass.
pub(crate) fn forest(title: &str, ratios: &[Ratio]) -> Option<Markup> {
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

/// The typical values of workers on both sides, each a dot. Where the same worker ran both, a line joins its two, so that it is seen
/// whether they all moved the same way.
pub(crate) fn clouds(title: &str, base: &[f64], new: &[f64], are_pairs: bool) -> Option<Markup> {
    const WIDE: f64 = 440.0;
    const LEFT: f64 = 44.0;
    /// Where the two sides lie, and the axis.
    const LANES: [f64; 2] = [12.0, 48.0];
    const HIGH: f64 = 60.0;
    let scale = Scale::around(base.iter().chain(new).copied(), LEFT, WIDE - 28.0)?;
    let finite = |values: &[f64]| values.iter().copied().filter(|value| value.is_finite()).collect::<Vec<f64>>();
    let dots = |values: &[f64], y: f64| -> String {
        let places: BTreeSet<String> = finite(values).iter().map(|value| place(scale.at(*value))).collect();
        places.into_iter().map(|x| format!("M{x} {y}h0")).collect()
    };
    let joined: String = base
        .iter()
        .zip(new)
        .filter(|(base, new)| are_pairs && base.is_finite() && new.is_finite())
        .map(|(base, new)| format!("M{} {}L{} {}", place(scale.at(*base)), LANES[0], place(scale.at(*new)), LANES[1]))
        .collect();
    let sides = [("base", base, LANES[0]), ("new", new, LANES[1])];
    let medians = sides.map(|(_, values, _)| stats::median(&finite(values)));
    let shown = |median: Option<f64>| median.map_or("–".to_owned(), units::duration);
    let label = format!("{title}: median of workers {} in base, {} in new", shown(medians[0]), shown(medians[1]));
    Some(html! {
        figure {
            svg role="img" aria-label=(cut(&label)) viewBox=(format!("0 0 {WIDE} {}", HIGH + 24.0)) width=(WIDE) {
                @if !joined.is_empty() { path.joined d=(joined) {} }
                @for ((name, values, y), median) in sides.into_iter().zip(medians) {
                    text x="0" y=(place(y + 4.0)) { (name) }
                    path.dots.base[name == "base"] d=(dots(values, y)) {}
                    @if let Some(median) = median { path.mid d=(format!("M{} {}v16", place(scale.at(median)), place(y - 8.0))) {} }
                }
                (axis(&scale, HIGH, &units::duration))
            }
            figcaption { (cut(title)) }
        }
    })
}

/// The size of a guest, function by function.
pub(crate) fn functions(facts: &Facts) -> Vec<(String, u64)> {
    let largest = facts.get("functions.largest").and_then(serde_json::Value::as_array).into_iter().flatten();
    largest.filter_map(|function| Some((function["name"].as_str()?.to_owned(), function["bytes"].as_u64()?))).collect()
}

/// A point of a history: its value, what is said of it, and the page of its report.
pub(crate) struct Spot<'a> {
    pub(crate) value: f64,
    pub(crate) text: String,
    pub(crate) page: Option<&'a str>,
}

/// A history as a line, with its steps, and a link to the report of each point. Of more points than can be told apart by a hand
/// those of some are there: the steps, and as many others as there is room for.
///
/// `commits` are the index of the first point's commit and of the last one's; where no commit between them lacks a point, the script can find the
/// report of the point below a hand.
pub(crate) fn sparkline(spots: &[Spot<'_>], steps: &[usize], commits: (usize, usize), label: &str) -> Markup {
    const WIDE: f64 = 260.0;
    const HIGH: f64 = 34.0;
    let Some(scale) = Scale::around(spots.iter().map(|spot| spot.value), HIGH - 4.0, 4.0) else {
        return html! { "–" };
    };
    let step = (WIDE - 8.0) / spots.len().saturating_sub(1).max(1) as f64;
    let across = |index: usize| 4.0 + index as f64 * step;
    let targets = targets(spots.len(), steps, &across);
    let wide = step.clamp(TARGET, 40.0);
    let is_whole = commits.1 - commits.0 + 1 == spots.len();
    html! {
        // A group and no image: it has links in it.
        svg role="group" aria-label=(label) viewBox=(format!("0 0 {WIDE} {HIGH}")) width=(WIDE) height=(HIGH)
            data-from=[is_whole.then_some(commits.0)] data-points=[is_whole.then_some(spots.len())] {
            path.curve d=(line(spots, &scale, step, &across)) {}
            @for step in steps { path.ci d=(format!("M{} 1V{}", place(across(*step)), HIGH - 1.0)) {} }
            @for (at, spot) in targets.iter().map(|at| (*at, &spots[*at])) {
                @let spot_at = format!("M{} {}h0", place(across(at)), place(scale.at(spot.value)));
                @let area = html! {
                    @if step >= TARGET || steps.contains(&at) { path.dots d=(spot_at) {} }
                    rect.hit x=(place(across(at) - wide / 2.0)) y="0" width=(place(wide)) height=(HIGH) { title { (spot.text) } }
                };
                // Not for the keyboard, which would have to pass thousands of them: all reports are in the table below.
                @if let Some(page) = spot.page { a href=(page) tabindex="-1" aria-label=(spot.text) { (area) } } @else { (area) }
            }
        }
    }
}

/// So wide is what a hand can meet.
const TARGET: f64 = 7.0;

/// The points that can be met one by one: all steps, and of the others as many as there is room for.
fn targets(spots: usize, steps: &[usize], across: &dyn Fn(usize) -> f64) -> Vec<usize> {
    let mut targets: Vec<usize> = Vec::new();
    for at in 0..spots {
        let is_free = |other: &usize| across(*other.max(&at)) - across(*other.min(&at)) >= TARGET;
        if steps.contains(&at) || targets.last().is_none_or(is_free) && steps.iter().all(is_free) {
            targets.push(at);
        }
    }
    targets
}

/// The line of a history. Points within one pixel are drawn as the lowest and the highest of them, level stretches as one.
fn line(spots: &[Spot<'_>], scale: &Scale, step: f64, across: &dyn Fn(usize) -> f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few hundred at most")]
    let together = ((1.0 / step).floor() as usize).max(1);
    let mut points: Vec<(String, String)> = Vec::new();
    for (index, within) in spots.chunks(together).enumerate() {
        let values = || within.iter().map(|spot| spot.value);
        let ends = [values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max)];
        for value in &ends[..ends.len().min(within.len())] {
            let point = (place(across(index * together)), place(scale.at(*value)));
            let is_level = matches!(&points[..], [.., before, last] if before.1 == point.1 && last.1 == point.1);
            if is_level {
                points.pop();
            }
            points.push(point);
        }
    }
    let drawn = points.iter().enumerate();
    drawn.map(|(index, (x, y))| format!("{}{x} {y}", if index == 0 { "M" } else { "L" })).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spots(values: &[f64]) -> Vec<Spot<'static>> {
        values.iter().map(|value| Spot { value: *value, text: String::new(), page: Some("a.html") }).collect()
    }

    #[test]
    fn each_point_leads_somewhere_and_of_a_thousand_those_that_can_be_met() {
        let few = sparkline(&spots(&[1.0, 2.0, 3.0]), &[1], (0, 2), "three").into_string();
        assert_eq!(few.matches("<a href").count(), 3, "{few}");
        assert!(few.contains("data-from=\"0\" data-points=\"3\""));
        let values: Vec<f64> = (0..1_000).map(|index| f64::from(index % 7)).collect();
        let many = sparkline(&spots(&values), &[500, 501], (0, 1_200), "a thousand").into_string();
        assert!((20..=40).contains(&many.matches("<a href").count()), "{}", many.matches("<a href").count());
        assert!(!many.contains("data-from"), "commits without a point lie between");
        assert!(many.len() < 20_000, "{} bytes", many.len());
    }

    #[test]
    fn a_level_line_is_two_points() {
        let level = sparkline(&spots(&[5.0; 1_000]), &[], (0, 999), "level").into_string();
        assert!(level.contains("d=\"M4 17L"), "{level}");
        assert_eq!(
            level.split("class=\"curve\" d=\"").nth(1).unwrap().split('"').next().unwrap().matches('L').count(),
            1
        );
    }
}
