//! Drawing: scales, axes, and the strips of samples. Everything is drawn in its own units and styled by classes, because the page's policy lets no
//! style attribute through.
//!
//! Our own, because crates for charts write colours and sizes into the drawing, which are the style sheet's here (dark, printed), or need scripts.

use maud::{Markup, html};

/// From values to places along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
    log: bool,
}

/// Most ticks of an axis; where values differ in their last bits only, a step may be no step.
const TICKS: u32 = 20;
/// Values that span more than this are drawn by their logarithm.
const DECADES: f64 = 30.0;

impl Scale {
    /// From zero, as bars must be.
    pub(crate) fn from_zero(high: f64, from: f64, to: f64) -> Self {
        Self { low: 0.0, high: if high > 0.0 { high } else { 1.0 }, from, to, log: false }
    }

    /// Around values: by logarithm where they span decades. `None` without any.
    pub(crate) fn around(values: impl Iterator<Item = f64> + Clone, from: f64, to: f64) -> Option<Self> {
        let low = values.clone().filter(|value| value.is_finite()).fold(f64::INFINITY, f64::min);
        let high = values.filter(|value| value.is_finite()).fold(f64::NEG_INFINITY, f64::max);
        if low > high {
            return None;
        }
        let log = low > 0.0 && high / low > DECADES;
        let (low, high) =
            if low == high { (low - low.abs() * 0.05 - 0.5, high + high.abs() * 0.05 + 0.5) } else { (low, high) };
        Some(Self { low, high, from, to, log })
    }

    pub(crate) const fn is_log(&self) -> bool {
        self.log
    }

    pub(crate) fn at(&self, value: f64) -> f64 {
        let share = if self.log {
            (value.max(self.low) / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(0.0, 1.0) * (self.to - self.from)
    }

    /// Round values to be written at the axis.
    pub(crate) fn ticks(&self) -> Vec<f64> {
        if self.log {
            let first = self.low.log10().ceil();
            let last = self.high.log10().floor();
            let mut ticks = Vec::new();
            let mut power = first;
            while power <= last {
                ticks.push(10_f64.powf(power));
                power += 1.0;
            }
            return ticks;
        }
        let rough = (self.high - self.low) / 5.0;
        let power = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].into_iter().map(|of| of * power).find(|step| *step >= rough).unwrap_or(rough);
        let first = (self.low / step).ceil() * step;
        let tick = |index: u32| first + f64::from(index) * step;
        (0..=TICKS).map(tick).take_while(|tick| *tick <= self.high + step * 1e-9).collect()
    }
}

/// A coordinate: a tenth of a pixel is enough.
pub(crate) fn place(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// The axis below a drawing, with its ticks.
pub(crate) fn axis(scale: &Scale, y: f64, shown: &dyn Fn(f64) -> String) -> Markup {
    html! {
        path.axis d=(format!("M{} {}H{}", place(scale.from), place(y), place(scale.to))) {}
        @for tick in scale.ticks() {
            path.axis d=(format!("M{} {}v4", place(scale.at(tick)), place(y))) {}
            text.tick x=(place(scale.at(tick))) y=(place(y + 15.0)) text-anchor="middle" { (shown(tick)) }
        }
    }
}

/// Every sample as a dot, in a lane for each process; dots that would cover each other are one.
pub(crate) fn dots(samples: &[Vec<f64>], scale: &Scale, top: f64, height: f64) -> String {
    let lanes = samples.len().max(1) as f64;
    let mut seen = std::collections::BTreeSet::new();
    let mut path = String::new();
    for (process, values) in samples.iter().enumerate() {
        let y = top + (process as f64 + 0.5) * height / lanes;
        for value in values.iter().filter(|value| value.is_finite()) {
            let (x, y) = (place(scale.at(*value).round()), place(y.round()));
            if seen.insert((x.clone(), y.clone())) {
                path += &format!("M{x} {y}h0");
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_begin_at_zero_and_decades_are_logarithmic() {
        let bars = Scale::from_zero(40.0, 0.0, 100.0);
        assert_eq!((bars.at(0.0), bars.at(10.0), bars.at(40.0)), (0.0, 25.0, 100.0));
        assert_eq!(bars.ticks(), [0.0, 10.0, 20.0, 30.0, 40.0]);
        let wide = Scale::around([1.0, 1_000.0].into_iter(), 0.0, 300.0).unwrap();
        assert!(wide.is_log());
        assert_eq!(wide.ticks(), [1.0, 10.0, 100.0, 1_000.0]);
        assert!((wide.at(10.0) - 100.0).abs() < 1e-9);
        let near = Scale::around([90.0, 110.0].into_iter(), 0.0, 100.0).unwrap();
        assert!(!near.is_log());
        assert!(Scale::around(std::iter::empty(), 0.0, 1.0).is_none());
        assert!(Scale::around([5.0].into_iter(), 0.0, 1.0).is_some_and(|scale| scale.at(5.0) == 0.5));
    }

    #[test]
    fn dots_that_cover_each_other_are_one() {
        let scale = Scale::from_zero(100.0, 0.0, 10.0);
        let path = dots(&[vec![50.0, 50.1, 90.0], vec![50.0]], &scale, 0.0, 10.0);
        assert_eq!(path, "M5 3h0M9 3h0M5 8h0");
    }
}
