use super::*;
use wasiscope_model::report::Git;
use wasiscope_render::fixtures::{around, case, machine, report};

/// Ten commits: `run` gets 5 % slower at the fifth, the guest 5,000 bytes larger at the eighth; the machine is in another mood each
/// day, which the reference case feels too.
fn reports(name: &str) -> Vec<(String, Report)> {
    let moods = [100, 97, 104, 101, 98, 103, 99, 106, 95, 100];
    let report = |(index, mood): (usize, u64)| {
        let run = if index < 4 { 200_000 } else { 210_000 };
        let mut of_commit = case("a/f/e", &format!("{index}"), &around(run * mood / 100));
        of_commit.facts.insert("size.wasm".into(), (if index < 7 { 40_000 } else { 45_000 }).into());
        let reference = case("reference", "r", &around(50_000 * mood / 100));
        let mut report = report(vec![of_commit], Some(reference));
        report.machine = machine(Some(name));
        report.started_at = format!("2026-11-{:02}T00:00:00Z", index + 1);
        let commit = format!("{index:040x}");
        report.git = Some(Git { commit: commit.clone(), dirty: false });
        (commit, report)
    };
    moods.into_iter().enumerate().map(report).collect()
}

fn gathered(reports: &[(String, Report)], wanted: Wanted) -> Gatherer {
    let mut gatherer = Gatherer::new(wanted);
    reports.iter().for_each(|(commit, report)| gatherer.add(commit, report));
    gatherer
}

fn mainline(reports: &[(String, Report)]) -> Vec<(String, String)> {
    reports.iter().map(|(commit, _)| (commit.clone(), format!("commit {commit}"))).collect()
}

fn of<'a>(history: &'a History, metric: &str) -> &'a Series {
    history.series.iter().find(|series| series.metric == metric).unwrap()
}

#[test]
fn a_slowdown_and_a_bloat_each_name_their_commit() {
    let reports = reports("m");
    let history = gathered(&reports, Wanted::default()).history(Some(&mainline(&reports)));
    let run = of(&history, "phase.run");
    assert!(run.normalised);
    let steps: Vec<usize> = run.steps.iter().map(|step| run.points[step.at].commit).collect();
    assert_eq!(steps, [4]);
    let change = run.steps[0].after / run.steps[0].before;
    assert!((change - 1.05).abs() < 0.001, "{change}");
    let size = of(&history, "size.wasm");
    let steps: Vec<_> = size.steps.iter().map(|step| (step.at, step.before, step.after, step.p)).collect();
    assert_eq!(steps, [(7, 40_000.0, 45_000.0, None)]);
    // What else is a fact was not asked for.
    assert!(history.series.iter().all(|series| series.metric != "check"));
}

#[test]
fn a_lone_spike_is_no_step() {
    let mut reports = reports("m");
    reports.truncate(4);
    let later = reports.clone().into_iter().chain(reports.clone()).enumerate().map(|(index, (_, report))| {
        let commit = format!("{:040x}", index + 16);
        (commit, report)
    });
    reports.extend(later.collect::<Vec<_>>());
    let spike = case("a/f/e", "x", &around(400_000));
    reports[6].1.scenarios[0].cases[0].measurements = spike.measurements;
    let history = gathered(&reports, Wanted::default()).history(Some(&mainline(&reports)));
    assert_eq!(of(&history, "phase.run").steps, []);
}

#[test]
fn machines_are_series_of_their_own() {
    let (one, other) = (reports("one"), reports("other"));
    let history = gathered(&[one.clone(), other].concat(), Wanted::default()).history(Some(&mainline(&one)));
    let machines: Vec<&str> = history
        .series
        .iter()
        .filter(|series| series.metric == "phase.run")
        .map(|series| series.machine.as_str())
        .collect();
    assert_eq!(machines, ["one", "other"]);
    assert!(history.series.iter().all(|series| series.points.len() == 10));
}

#[test]
fn commits_without_a_report_are_the_range_in_which_it_happened() {
    let reports = reports("m");
    let all = mainline(&reports);
    let some: Vec<_> =
        reports.iter().enumerate().filter(|(index, _)| ![6, 7].contains(index)).map(|(_, r)| r.clone()).collect();
    let history = gathered(&some, Wanted::default()).history(Some(&all));
    let step = &of(&history, "size.wasm").steps[0];
    let at = of(&history, "size.wasm").points[step.at].commit;
    assert_eq!(history.commits[at].id, all[8].0);
    let between: Vec<&String> = history.unmeasured[&at].iter().map(|commit| &commit.id).collect();
    assert_eq!(between, [&all[6].0, &all[7].0]);
    let text = wasiscope_render::history::render(&history, false, wasiscope_render::table::Style::Plain);
    assert!(text.contains("one of the 3 commits 000000000000..000000000000"), "{text}");
}

#[test]
fn reports_of_another_branch_are_left_out_and_said_to_be() {
    let reports = reports("m");
    let history = gathered(&reports, Wanted::default()).history(Some(&mainline(&reports[..6])));
    assert_eq!(history.commits.len(), 6);
    assert!(history.left_out[0].contains("4 commits"), "{:?}", history.left_out);
    // Without a repository, time is the order.
    assert_eq!(gathered(&reports, Wanted::default()).history(None).commits.len(), 10);
}

#[test]
fn several_reports_of_a_commit_are_one_point_and_conditions_are_told() {
    let mut reports = reports("m");
    for (_, report) in &mut reports[7..] {
        report.tools.insert("wasmtime".into(), Some("49".into()));
    }
    // A second run of each, and the first once more: it counts once.
    let again = reports.iter().map(|(commit, report)| (commit.clone(), Report { seed: 2, ..report.clone() })).collect();
    let twice = [reports.clone(), again, reports.clone()].concat();
    let history = gathered(&twice, Wanted::default()).history(Some(&mainline(&reports)));
    let size = of(&history, "size.wasm");
    assert!(size.points.iter().all(|point| point.reports == 2));
    assert_eq!(size.steps[0].besides, ["wasmtime 48 → 49"]);
}

#[test]
fn a_folder_gives_back_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::Folder(folder.path().join("history"));
    let reports = reports("m");
    for (_, report) in &reports {
        assert_eq!(store.add(report).unwrap(), Added::New);
        assert_eq!(store.add(report).unwrap(), Added::Already);
    }
    std::fs::write(folder.path().join("history").join(&reports[0].0).join("broken.json"), "{").unwrap();
    let mut read = Vec::new();
    let unreadable = store.read(&mut |commit, report| read.push((commit.to_owned(), report.clone()))).unwrap();
    assert_eq!(read, reports);
    assert!(unreadable.len() == 1 && unreadable[0].contains("broken.json"), "{unreadable:?}");
}

#[test]
fn notes_give_back_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let git = |arguments: &[&str]| wasiscope_sys::git::printed(folder.path(), "be used", arguments).unwrap();
    git(&["init", "--quiet"]);
    git(&["-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--allow-empty", "-m", "one"]);
    let commit = git(&["rev-parse", "HEAD"]).trim().to_owned();
    let store = Store::Notes { repository: folder.path().to_owned(), name: NOTES.to_owned() };
    let kept: Vec<Report> = reports("m")
        .into_iter()
        .take(2)
        .map(|(_, report)| Report { git: Some(Git { commit: commit.clone(), dirty: false }), ..report })
        .collect();
    for report in &kept {
        assert_eq!(store.add(report).unwrap(), Added::New);
        assert_eq!(store.add(report).unwrap(), Added::Already);
    }
    let mut read = Vec::new();
    assert_eq!(store.read(&mut |_, report| read.push(report.clone())).unwrap(), [] as [String; 0]);
    assert_eq!(read, kept);
    // Each line is a report by itself, for whatever reads JSON.
    let note = git(&["notes", "--ref", NOTES, "show", "HEAD"]);
    assert_eq!(note.lines().count(), 2);
}

#[test]
fn what_is_not_a_commits_is_not_kept() {
    let store = Store::Folder(tempfile::tempdir().unwrap().path().join("never"));
    let (_, report) = reports("m").remove(0);
    let dirty = Report { git: Some(Git { commit: "ab".into(), dirty: true }), ..report.clone() };
    assert!(matches!(store.add(&dirty), Err(HistoryError::Dirty(_))));
    assert!(matches!(store.add(&Report { git: None, ..report.clone() }), Err(HistoryError::NoCommit)));
    let elsewhere = Report { git: Some(Git { commit: "../up".into(), dirty: false }), ..report.clone() };
    assert!(matches!(store.add(&elsewhere), Err(HistoryError::NoCommit)));
    assert!(matches!(store.add(&Report { noise: 1, ..report }), Err(HistoryError::Unusual(_))));
}
