//! How samples are spread, where that is the result.

use std::collections::BTreeMap;

use wasiscope_ebpf_abi::{bucket_of, bucket_upper};
use wasiscope_model::record::ProcessRecord;
use wasiscope_model::report::Spread;
use wasiscope_stats as stats;

/// How all samples of an experiment are spread.
pub(crate) fn of_samples(metric: &str, unwatched: &[&ProcessRecord], watched: &[&ProcessRecord]) -> Option<Spread> {
    let samples = |processes: &[&ProcessRecord]| -> Vec<f64> {
        processes.iter().filter_map(|process| process.measured.get(metric)).flatten().copied().collect()
    };
    let all = samples(unwatched);
    let [p50, p90, p99, max] = stats::quantiles(&all, [0.5, 0.9, 0.99, 1.0])?;
    let mut buckets: BTreeMap<u64, u64> = BTreeMap::new();
    for sample in &all {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates, which is right")]
        let whole = *sample as u64;
        *buckets.entry(bucket_upper(bucket_of(whole))).or_default() += 1;
    }
    let watched = samples(watched);
    let watched_mean = (!watched.is_empty()).then(|| watched.iter().sum::<f64>() / watched.len() as f64);
    Some(Spread { p50, p90, p99, max, sum: None, buckets: buckets.into_iter().collect(), watched_mean })
}
