//! The facts of every case against `snapshots/`. A difference is a change of what users get: look at it with
//! `cargo insta review`, and commit it with the change that made it.

mod common;

use common::{Run, root};
use wasiscope::report::Report;
use wasiscope::snapshot;

#[test]
fn facts_are_those_in_the_snapshots() {
    let names: Vec<String> = wasiscope::scenario::read_folder(&root().join("scenarios"))
        .unwrap()
        .into_iter()
        .map(|scenario| scenario.name)
        .collect();
    let arguments = ["--capture", "off", "--processes", "1", "--iterations", "1"];
    let run = Run::new(&names.iter().map(String::as_str).chain(arguments).collect::<Vec<_>>());
    assert_eq!(run.code(), 0, "{}", run.stderr());
    let report: Report = serde_json::from_value(run.report()).unwrap();
    for scenario in &report.scenarios {
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(root().join("snapshots").join(&scenario.name));
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| {
            // Experiments have none.
            let with_facts = scenario.cases.iter().filter(|case| !case.facts.is_empty());
            for case in with_facts.filter(|case| snapshot::belongs_to_the_tree(&case.flavour)) {
                insta::assert_json_snapshot!(snapshot::name(&case.id), snapshot::of_the_tree(&case.facts));
            }
        });
    }
}
