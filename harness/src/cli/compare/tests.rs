use super::*;
use crate::compare::facts::Growth;

#[test]
fn tolerances_are_read_as_percentages_of_known_metrics() {
    assert_eq!(tolerance("phase.run=2%"), Ok(Tolerance::Metric("phase.run".to_owned(), 0.02)));
    assert_eq!(tolerance("phase.init=0.5"), Ok(Tolerance::Metric("phase.init".to_owned(), 0.005)));
    assert!(tolerance("phase.rnu=2%").unwrap_err().contains("did you mean `phase.run`?"));
    assert!(tolerance("phase.run=-1%").unwrap_err().contains("not a percentage"));
    assert!(tolerance("phase.run").unwrap_err().contains("NAME=AMOUNT"));
}

#[test]
fn tolerances_of_facts_are_amounts_or_percentages() {
    let fact = |fact: &str, growth, written: &str| {
        Ok(Tolerance::Fact(FactTolerance { fact: fact.to_owned(), growth, written: written.to_owned() }))
    };
    assert_eq!(tolerance("size.wasm=1KiB"), fact("size.wasm", Growth::By(1024), "1KiB"));
    assert_eq!(tolerance("size.*=0"), fact("size.*", Growth::By(0), "0"));
    assert_eq!(tolerance("size.section.code=2%"), fact("size.section.code", Growth::Relative(0.02), "2%"));
    assert!(tolerance("size.wsam=1KiB").unwrap_err().contains("`size.wasm`"));
    assert!(tolerance("size.wasm=much").unwrap_err().contains("`much`"));
}

#[test]
fn a_name_is_told_by_its_ending() {
    let outside = Path::new("/");
    let of = |name: &str| Kind::of(outside, OsStr::new(name));
    assert_eq!((of("a/b.wasm"), of("a/B.WASM")), (Kind::Guest, Kind::Guest));
    assert_eq!((of("report.json"), of("report.json.zst")), (Kind::Report, Kind::Report));
    assert_eq!(of("HEAD~1"), Kind::Revision);
}

#[test]
fn what_is_there_is_told_by_what_it_holds() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes, kind) in [
        ("v1.0", &b"\0asm\x01\0\0\0"[..], Kind::Guest),
        ("text.json", b"(module)", Kind::Guest),
        ("report.wasm", b"{\"schema_version\": 1}", Kind::Report),
        ("report", b"\x28\xb5\x2f\xfd", Kind::Report),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(Kind::of(folder.path(), path.as_os_str()), kind, "{name}");
    }
}

#[test]
fn the_exit_status_says_what_was_asked_for() {
    let of = |verdict, fail_on| {
        let comparison = Comparison {
            schema_version: 1,
            wasiscope: String::new(),
            base: SideReport::default(),
            new: SideReport::default(),
            verdict,
            seed: None,
            confidence: 0.99,
            interrupted: false,
            budget_spent: false,
            warnings: Vec::new(),
            facts: Vec::new(),
            kernel: Vec::new(),
            rows: vec![compare::Row::without_figures("a", verdict, "")],
        };
        exit(&comparison, fail_on)
    };
    assert_eq!(of(Verdict::Regressed, FailOn::Regressed), Exit::CaseFailed);
    assert_eq!(of(Verdict::Regressed, FailOn::Never), Exit::Done);
    assert_eq!(of(Verdict::Inconclusive, FailOn::Regressed), Exit::Done);
    assert_eq!(of(Verdict::Inconclusive, FailOn::Inconclusive), Exit::Inconclusive);
    assert_eq!(of(Verdict::Improved, FailOn::Inconclusive), Exit::Done);
}
