//! What a receiver gets of flows of events is what their report says, under the names that the three joint metrics have everywhere. Needs root and a
//! kernel with eBPF.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[expect(dead_code, reason = "the resource is a matter of `telemetry.rs`")]
#[path = "telemetry/decoded.rs"]
mod decoded;
#[path = "telemetry/expected.rs"]
mod expected;
#[expect(dead_code, reason = "HTTP and certificates are matters of `telemetry.rs`")]
#[path = "telemetry/receivers.rs"]
mod receivers;

use common::{Run, file};
use decoded::received;
use receivers::{grpc, taken};

#[test]
fn live_the_joint_metrics_of_a_pipeline_arrive_as_its_report_has_them() {
    let folder = tempfile::tempdir().expect("a folder");
    let text = "name: flows\nkind: pipeline\nparts: [rates, misbehaving]\nflavours: [tinygo-like]\nengines: [cranelift]\nprocesses: 1\niterations: 1\n";
    let scenario = file(&folder, "flows.yaml", text);
    let (address, got) = grpc(vec![Ok(taken(0, ""))]);
    let only = "{rate-10k,handler-traps,handler-refuses}/*/*";
    let url = format!("grpc://{address}");
    let run = Run::in_folder(folder, &[&scenario, "--capture", "on", "--only", only, "--otlp", &url]);
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report = run.report();
    let (got, wanted) = (received(&got, &report), expected::figures(&report));
    assert_eq!(got.keys().collect::<Vec<_>>(), wanted.keys().collect::<Vec<_>>());
    for (series, figure) in &wanted {
        assert_eq!(&got[series], figure, "{series:?}");
    }
    let count = |workload: &str, name: &str, reason: Option<&str>| {
        let is_wanted = |((metric, labels), _): &(&expected::Series, &expected::Figure)| {
            metric == name
                && labels.get("wasiscope.workload").is_some_and(|of| of == workload)
                && labels.get("reason").map(String::as_str) == reason
        };
        let found: Vec<_> = wanted.iter().filter(is_wanted).collect();
        assert_eq!(found.len(), 1, "{name} {reason:?}");
        found[0].1.clone()
    };
    let shown = format!("{:?}", count("handler-traps", "bpf_to_wasm_err", Some("trap")).content);
    assert!(shown.contains("20"), "{shown}");
    let shown = format!("{:?}", count("rate-10k", "wasm_exec_count", None).content);
    assert!(shown.contains("10000"), "{shown}");
    let shown = format!("{:?}", count("rate-10k", "probe_latency_us", None).content);
    assert!(shown.contains("count: 10000"), "{shown}");
}
