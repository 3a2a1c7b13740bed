//! Figures in the unit a person expects, and text that is fit to be shown.

use std::borrow::Cow;

/// Nanoseconds as `812 ns`, `12.4 µs`, `3.05 ms`, `1.20 s`: three significant digits.
#[must_use]
pub fn duration(ns: f64) -> String {
    const STEPS: [(f64, &str); 4] = [(1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns")];
    // 999.7 µs reads as "1.00 ms": the step is chosen after rounding to three digits.
    let (scale, unit) = STEPS.into_iter().find(|(scale, _)| ns.abs() >= scale * 0.9995).unwrap_or((1.0, "ns"));
    format!("{} {unit}", three_digits(ns / scale))
}

/// Bytes as `812 B`, `96.3 KiB`, `1.80 MiB`: exact below one KiB, three significant digits above.
#[must_use]
pub fn bytes(count: u64) -> String {
    const STEPS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    match STEPS.into_iter().find(|(scale, _)| count >= *scale) {
        Some((scale, unit)) => format!("{} {unit}", three_digits(count as f64 / scale as f64)),
        None => format!("{count} B"),
    }
}

/// A number of events per iteration: whole numbers without a fraction, others with three significant digits.
#[must_use]
pub fn per_iteration(count: u64, iterations: u64) -> Option<String> {
    if iterations == 0 {
        return None;
    }
    if count.is_multiple_of(iterations) {
        return Some((count / iterations).to_string());
    }
    let each = count as f64 / iterations as f64;
    Some(if each < 0.005 { "< 0.01".to_owned() } else { three_digits(each) })
}

/// A number: whole ones without a fraction, others with three significant digits.
#[must_use]
pub fn plain(value: f64) -> String {
    if value.fract() == 0.0 { format!("{value}") } else { three_digits(value) }
}

/// How many of something: `1 commit`, `2 commits`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// A ratio as a change: `+3.1 %`, `-0.42 %`.
#[must_use]
pub fn change(ratio: f64) -> String {
    let percent = (ratio - 1.0) * 100.0;
    let sign = if percent < 0.0 { "-" } else { "+" };
    format!("{sign}{} %", three_digits(percent.abs()))
}

/// A share without its sign: `99` for 0.99, `99.75` for 0.9975.
#[must_use]
pub fn percent_plain(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text of somebody else's as it may be shown in a terminal: what would steer it, or turn the order of letters round, is spelt out,
/// in the way that JSON has for it: a document stays the same.
#[must_use]
pub fn printable(text: &str) -> Cow<'_, str> {
    let steers = |char: char| {
        (char.is_control() && !['\n', '\t'].contains(&char))
            || matches!(char, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let shown = |char: char| if steers(char) { format!("\\u{:04x}", u32::from(char)) } else { char.to_string() };
    Cow::Owned(text.chars().map(shown).collect())
}

fn three_digits(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude >= 99.95 {
        format!("{value:.0}")
    } else if magnitude >= 9.995 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_in_the_nearest_unit() {
        assert_eq!(duration(0.0), "0.00 ns");
        assert_eq!(duration(812.0), "812 ns");
        assert_eq!(duration(12_430.0), "12.4 µs");
        assert_eq!(duration(999_700.0), "1.00 ms");
        assert_eq!(duration(3_050_000.0), "3.05 ms");
        assert_eq!(duration(61.2e9), "61.2 s");
    }

    #[test]
    fn bytes_are_exact_while_small() {
        assert_eq!(bytes(0), "0 B");
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(98_611), "96.3 KiB");
        assert_eq!(bytes(1_887_437), "1.80 MiB");
    }

    #[test]
    fn ratios_read_as_changes() {
        assert_eq!(change(1.031), "+3.10 %");
        assert_eq!(change(0.9958), "-0.42 %");
        assert_eq!(change(2.5), "+150 %");
        assert_eq!((percent_plain(0.99).as_str(), percent_plain(0.9975).as_str()), ("99", "99.75"));
    }

    #[test]
    fn text_does_not_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[2J\u{9b}b\u{202e}c\r\n\td"), "a\\u001b[2J\\u009bb\\u202ec\\u000d\n\td");
        assert!(matches!(printable("plain µs → ×1.2\n"), Cow::Borrowed(_)));
    }

    #[test]
    fn counts_per_iteration_say_when_they_are_whole() {
        assert_eq!(per_iteration(40, 20).as_deref(), Some("2"));
        assert_eq!(per_iteration(41, 20).as_deref(), Some("2.05"));
        assert_eq!(per_iteration(1, 1_000).as_deref(), Some("< 0.01"), "something is not nothing");
        assert_eq!(per_iteration(1, 0), None);
    }
}
