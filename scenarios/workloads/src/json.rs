//! `json`: a document read, changed and written.
//!
//! To repeat it elsewhere: `generate` says how the document comes about. Parse it; in every record multiply `price`
//! by two, add one to `stock`, add the string `changed` to the end of `tags`, and add the member `updated`, which is
//! true, at the end; write it without white space and with everything that is not ASCII as it is.

use core::fmt::Write as _;
use core::hint::black_box;
use heap::string::String;
use heap::vec::Vec;

use serde_json::Value;

use crate::fnv::Fnv1a;
use crate::splitmix::{SEED, SplitMix64};
use crate::text::word;
use crate::{Host, HostError, Workload, measure};

/// The registry's entry.
pub const WORKLOAD: Workload = Workload {
    name: "json",
    summary: "Parses a JSON document of n records into a tree, changes each of them and writes the tree again, with \
              serde_json. Many small allocations, strings that are copied, maps of a few members, branches on single \
              bytes, numbers to and from text: what a service does with most of its requests.",
    default_n: 1000,
    run: |host, n| run(host, n),
};

/// Reads, changes and writes a document of `n` records. The check is the FNV-1a of what was written.
///
/// The document is generated before the start mark.
///
/// # Errors
/// If serde_json did not accept what was generated, or the host could not mark.
pub fn run<H: Host + ?Sized>(host: &mut H, n: u64) -> Result<u64, HostError> {
    let document = generate(n);
    measure(host, n, |_, _| {
        let written = transform(black_box(&document))?;
        let mut check = Fnv1a::new();
        check.update(&written);
        Ok(check.finish())
    })
}

/// An array of `n` records, whose members are in alphabetical order, so that it is the same document for a map that
/// sorts and for one that keeps the order.
fn generate(n: u64) -> String {
    let mut random = SplitMix64::new(SEED);
    let mut text = String::from("[");
    for id in 0..n {
        let separator = if id == 0 { "" } else { "," };
        let (first, second) = (word(&mut random), word(&mut random));
        // Twice the price is never whole: some languages write that as 2.0 and others as 2.
        let (whole, hundredths) = (random.below(1000), 25 + 50 * random.below(2));
        let stock = random.next_u64() >> 20;
        let (one, other) = (word(&mut random), word(&mut random));
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "{separator}{{\"id\": {id}, \"name\": \"{first} \\\"{second}\\\"\\u0021 \u{e9}\", \
             \"price\": {whole}.{hundredths:02}, \"stock\": {stock}, \"tags\": [\"{one}\", \"{other}\", null]}}"
        );
    }
    text.push(']');
    text
}

fn transform(document: &str) -> Result<Vec<u8>, HostError> {
    const UNREADABLE: HostError = HostError { operation: "reading the document", errno: None };

    let mut records: Value = serde_json::from_str(document).map_err(|_| UNREADABLE)?;
    for record in records.as_array_mut().ok_or(UNREADABLE)? {
        let record = record.as_object_mut().ok_or(UNREADABLE)?;
        let price = record.get("price").and_then(Value::as_f64).ok_or(UNREADABLE)?;
        record.insert("price".into(), (price * 2.0).into());
        let stock = record.get("stock").and_then(Value::as_u64).ok_or(UNREADABLE)?;
        record.insert("stock".into(), (stock + 1).into());
        record.get_mut("tags").and_then(Value::as_array_mut).ok_or(UNREADABLE)?.push("changed".into());
        record.insert("updated".into(), true.into());
    }
    serde_json::to_vec(&records).map_err(|_| HostError { operation: "writing the document", errno: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by Python's `json` over the same document, generated in Python.
    #[test]
    fn known_checks() {
        for (n, expected) in [
            (0, 0x0961_2b07_b5ec_b5a5),
            (1, 0x7e0c_7445_7403_20ce),
            (100, 0x33b5_1c3a_2748_40d9),
            (1000, 0x8240_aa56_6a95_41e1),
        ] {
            assert_eq!(WORKLOAD.expected_check(n), Ok(expected), "n = {n}");
        }
    }
}
