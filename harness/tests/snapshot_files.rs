//! Every file under this repository's `snapshots/` belongs to a case: what nothing is compared with any more is deleted.

mod common;

use std::collections::BTreeSet;

use common::root;
use wasiscope::kinds;

#[test]
fn every_snapshot_belongs_to_a_case() {
    let scenarios = kinds::read_folder(&root().join("scenarios")).unwrap();
    let cases = scenarios.iter().flat_map(wasiscope::scenario::Scenario::cases);
    let stems: BTreeSet<String> = cases
        .flat_map(|case| {
            let size = case.n.map(|n| format!("-n{n}")).unwrap_or_default();
            [format!("{}-{}", case.workload, case.flavour), case.id().replace('/', "-") + &size]
        })
        .collect();
    let folders = std::fs::read_dir(root().join("snapshots")).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let mut count = 0;
    for entry in folders.flat_map(|folder| std::fs::read_dir(folder.path()).unwrap().flatten()) {
        let name = entry.file_name().into_string().unwrap();
        let Some(name) = name.strip_suffix(".snap") else { continue };
        let stem = name.split('@').next().unwrap();
        assert!(stems.contains(stem), "{} belongs to no case: delete it", entry.path().display());
        count += 1;
    }
    assert!(count > 0);
}
