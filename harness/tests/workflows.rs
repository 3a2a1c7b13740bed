//! The workflow and the action run as they are written: every script of the action is run here in its order, with a
//! stand-in for `gh`, and every script of the workflow is one that is there.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{WASISCOPE, root, spin};
use serde::Deserialize;
use serde::de::DeserializeOwned;

const ACTION: &str = ".github/actions/compare";
const MARKER: &str = "<!-- wasiscope -->";

/// What is not named here, an `if` for one, would have a meaning that these tests do not know.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Action {
    #[serde(rename = "name")]
    _name: String,
    #[serde(rename = "description")]
    _description: String,
    inputs: BTreeMap<String, Input>,
    outputs: BTreeMap<String, Output>,
    runs: Runs,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Input {
    #[serde(rename = "description")]
    _description: String,
    #[serde(default)]
    required: bool,
    default: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Output {
    #[serde(rename = "description")]
    _description: String,
    value: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Runs {
    using: String,
    steps: Vec<Script>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Script {
    id: String,
    shell: String,
    #[serde(default)]
    env: BTreeMap<String, String>,
    run: String,
}

#[derive(Debug, Deserialize)]
struct Workflow {
    jobs: BTreeMap<String, Job>,
}

#[derive(Debug, Deserialize)]
struct Job {
    steps: Vec<Step>,
}

#[derive(Debug, Deserialize)]
struct Step {
    run: Option<String>,
    uses: Option<String>,
    #[serde(default)]
    with: BTreeMap<String, serde_yaml::Value>,
}

fn yaml<T: DeserializeOwned>(path: &str) -> T {
    serde_yaml::from_str(&fs::read_to_string(root().join(path)).unwrap())
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn action() -> Action {
    yaml(&format!("{ACTION}/action.yml"))
}

fn workflow() -> Workflow {
    yaml(".github/workflows/ci.yml")
}

/// Puts values in the places of `${{ … }}`. GitHub would take the empty string for one that it does not know.
fn resolve(text: &str, values: &BTreeMap<String, String>) -> String {
    let mut resolved = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${{") {
        let (expression, after) = after.split_once("}}").unwrap();
        let value = values.get(expression.trim());
        resolved += before;
        resolved += value.unwrap_or_else(|| panic!("nothing is known of `{expression}`"));
        rest = after;
    }
    resolved + rest
}

/// A user's repository: one scenario with a guest of its own, and a pull request whose base has moved on.
struct Repository {
    folder: tempfile::TempDir,
    /// Where the pull request left the base.
    fork: String,
    base: String,
    head: String,
}

impl Repository {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let checkout = folder.path().join("checkout");
        fs::create_dir_all(checkout.join("scenarios")).unwrap();
        fs::write(checkout.join("scenarios/tiny.yaml"), "name: tiny\nwasm: ../guest.wat\n").unwrap();
        fs::write(checkout.join(".gitignore"), "target\n").unwrap();
        let git = |arguments: &[&str]| {
            let identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
            let output = Command::new("git").current_dir(&checkout).args(identity).args(arguments).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            String::from_utf8(output.stdout).unwrap().trim().to_owned()
        };
        let commit = |n: u32| {
            fs::write(checkout.join("guest.wat"), spin(n)).unwrap();
            git(&["add", "."]);
            git(&["commit", "--quiet", "-m", "$(touch injected)"]);
            git(&["rev-parse", "HEAD"])
        };
        git(&["init", "--quiet"]);
        let fork = commit(200_000);
        let head = commit(600_000);
        git(&["checkout", "--quiet", "--detach", &fork]);
        // Compared with this, the pull request would be an improvement.
        let base = commit(1_800_000);
        Self { folder, fork, base, head }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn injected(&self) -> bool {
        self.path("checkout/injected").exists()
    }
}

/// Notes its arguments and keeps the body that it is given; `GH_FOUND` is the comment of an earlier run, `GH_REFUSES` a
/// token that may only read.
const GH: &str = r#"#!/usr/bin/env bash
set -eu
printf '%s\n' "$*" >>"$GH_CALLS"
[ -n "$GH_TOKEN" ]
if [ "$1 $2" = "api --paginate" ]; then
    printf '%s' "$GH_FOUND"
    exit
fi
if [ -n "$GH_REFUSES" ]; then
    echo "HTTP 403: Resource not accessible by integration" >&2
    exit 1
fi
while [ $# -gt 0 ]; do
    case $1 in
    --body-file) cp "$2" "$GH_BODY" ;;
    --field) cp "${2#body=@}" "$GH_BODY" ;;
    esac
    shift
done
"#;

/// How one run of the action is told apart from the usual.
#[derive(Default)]
struct Circumstances<'a> {
    inputs: &'a [(&'a str, &'a str)],
    /// No pull request.
    pushed: bool,
    found: &'a str,
    refuses: bool,
}

struct Outcome {
    status: BTreeMap<String, i32>,
    log: String,
    outputs: BTreeMap<String, String>,
    summary: String,
    calls: String,
    body: Option<String>,
}

/// Runs the steps as GitHub would: in their order, until one fails.
fn act(repository: &Repository, circumstances: &Circumstances) -> Outcome {
    let action = action();
    assert_eq!(action.runs.using, "composite");
    let bin = repository.path("bin");
    fs::create_dir_all(&bin).unwrap();
    fs::write(bin.join("gh"), GH).unwrap();
    fs::set_permissions(bin.join("gh"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let [output, summary, calls, body, script] =
        ["output", "summary", "calls", "body", "script"].map(|name| repository.path(name));
    for file in [&summary, &calls, &body] {
        let _ = fs::remove_file(file);
    }

    let number = if circumstances.pushed { "" } else { "7" };
    let mut values: BTreeMap<String, String> = [
        ("github.event.pull_request.number", number),
        ("github.repository", "somebody/something"),
        ("github.token", "secret"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()))
    .into();
    let given: BTreeMap<&str, &str> =
        [("base", &*repository.base), ("head", &repository.head), ("wasiscope", WASISCOPE)]
            .into_iter()
            .chain(circumstances.inputs.iter().copied())
            .collect();
    assert!(given.keys().all(|name| action.inputs.contains_key(*name)), "{given:?}");
    for (name, input) in &action.inputs {
        let value = given.get(name.as_str()).copied().or(input.default.as_deref());
        values.insert(format!("inputs.{name}"), value.unwrap().to_owned());
    }

    let mut outcome = Outcome {
        status: BTreeMap::new(),
        log: String::new(),
        outputs: BTreeMap::new(),
        summary: String::new(),
        calls: String::new(),
        body: None,
    };
    for step in &action.runs.steps {
        assert_eq!(step.shell, "bash");
        fs::write(&script, &step.run).unwrap();
        fs::write(&output, "").unwrap();
        let done = Command::new("bash")
            .args(["--noprofile", "--norc", "-eo", "pipefail"])
            .arg(&script)
            .current_dir(repository.path("checkout"))
            .env_remove("WASISCOPE")
            .env("PATH", &path)
            .env("GITHUB_ACTION_PATH", root().join(ACTION))
            .env("GITHUB_OUTPUT", &output)
            .env("GITHUB_STEP_SUMMARY", &summary)
            .env("GH_CALLS", &calls)
            .env("GH_BODY", &body)
            .env("GH_FOUND", circumstances.found)
            .env("GH_REFUSES", if circumstances.refuses { "1" } else { "" })
            .envs(step.env.iter().map(|(name, value)| (name, resolve(value, &values))))
            .output()
            .unwrap();
        outcome.log += &String::from_utf8_lossy(&done.stdout);
        outcome.log += &String::from_utf8_lossy(&done.stderr);
        outcome.status.insert(step.id.clone(), done.status.code().unwrap());
        for line in fs::read_to_string(&output).unwrap().lines() {
            let (name, value) = line.split_once('=').unwrap();
            values.insert(format!("steps.{}.outputs.{name}", step.id), value.to_owned());
        }
        if !done.status.success() {
            break;
        }
    }
    for (name, output) in &action.outputs {
        if values.contains_key(output.value.trim_matches(['$', '{', '}', ' '])) {
            outcome.outputs.insert(name.clone(), resolve(&output.value, &values));
        }
    }
    outcome.summary = fs::read_to_string(summary).unwrap_or_default();
    outcome.calls = fs::read_to_string(calls).unwrap_or_default();
    outcome.body = fs::read_to_string(body).ok();
    outcome
}

impl Outcome {
    /// The exit status of the last step, which is the policy's.
    fn policy(&self) -> i32 {
        self.status.get("policy").copied().unwrap_or_else(|| panic!("{:?}\n{}", self.status, self.log))
    }

    fn verdict(&self) -> &str {
        &self.outputs["verdict"]
    }
}

#[test]
fn a_regression_since_the_fork_is_commented_on_and_then_fails() {
    let repository = Repository::new();
    let arguments = ("arguments", "tiny --metric phase.run");
    let outcome = act(&repository, &Circumstances { inputs: &[arguments], ..Circumstances::default() });
    assert_eq!((outcome.policy(), outcome.verdict()), (1, "regressed"), "{}", outcome.log);
    let body = outcome.body.unwrap();
    assert!(body.starts_with(&format!("{MARKER}\n### wasiscope: regressed (1 regressed)\n")), "{body}");
    for part in ["guest/custom/cranelift", "phase.run", &repository.fork, &repository.head, "tiny --metric phase.run"] {
        assert!(body.contains(part), "no {part} in:\n{body}");
    }
    assert!(!body.contains(&repository.base), "{body}");
    assert_eq!(outcome.summary, body);
    assert_eq!(fs::read_to_string(&outcome.outputs["comment-file"]).unwrap(), body);
    assert!(outcome.calls.contains("pr comment 7 --repo somebody/something --body-file "), "{}", outcome.calls);
    assert!(!repository.injected());

    // The next push: the comment is there, and the policy another.
    let inputs = [arguments, ("fail-on", "never")];
    let again = act(&repository, &Circumstances { inputs: &inputs, found: "42\n43\n", ..Circumstances::default() });
    assert_eq!((again.policy(), again.verdict()), (0, "regressed"), "{}", again.log);
    let patched = again.calls.lines().last().unwrap();
    assert!(patched.starts_with("api --method PATCH ") && patched.ends_with("/issues/comments/42"), "{patched}");
    assert!(again.body.unwrap().starts_with(MARKER));
}

#[test]
fn a_token_that_may_only_read_fails_nothing() {
    let repository = Repository::new();
    let same = [("base", repository.head.as_str())];
    let outcome = act(&repository, &Circumstances { inputs: &same, refuses: true, ..Circumstances::default() });
    assert_eq!((outcome.policy(), outcome.verdict()), (0, "unchanged"), "{}", outcome.log);
    assert!(outcome.log.contains("::warning title=wasiscope::not commented"), "{}", outcome.log);
    assert_eq!(outcome.body, None);
    assert!(outcome.summary.starts_with(MARKER));
}

#[test]
fn no_comment_is_made_where_none_is_wanted_or_nothing_is_there_to_comment_on() {
    let repository = Repository::new();
    let unwanted = [("base", repository.head.as_str()), ("comment", "false")];
    let outcome = act(&repository, &Circumstances { inputs: &unwanted, ..Circumstances::default() });
    assert_eq!((outcome.policy(), outcome.calls.as_str()), (0, ""), "{}", outcome.log);
    let pushed = act(&repository, &Circumstances { inputs: &unwanted[..1], pushed: true, ..Circumstances::default() });
    assert_eq!((pushed.policy(), pushed.calls.as_str()), (0, ""), "{}", pushed.log);
    assert!(pushed.log.contains("::notice title=wasiscope::no pull request"), "{}", pushed.log);
    assert!(pushed.summary.starts_with(MARKER));
}

#[test]
fn inconclusive_fails_where_that_is_the_policy() {
    let repository = Repository::new();
    // From one worker nothing can be concluded.
    let arguments = ("arguments", "--metric phase.run --processes 1");
    for (policy, status) in [("inconclusive", 3), ("regressed", 0)] {
        let inputs = [arguments, ("fail-on", policy)];
        let outcome = act(&repository, &Circumstances { inputs: &inputs, ..Circumstances::default() });
        assert_eq!((outcome.policy(), outcome.verdict()), (status, "inconclusive"), "{}", outcome.log);
    }
}

#[test]
fn what_cannot_be_compared_fails_and_says_so() {
    let repository = Repository::new();
    let inputs = [("arguments", "no-such-scenario")];
    let outcome = act(&repository, &Circumstances { inputs: &inputs, ..Circumstances::default() });
    assert_eq!((outcome.policy(), outcome.verdict()), (2, "failed"), "{}", outcome.log);
    assert!(outcome.log.contains("error[no-such-scenario]"), "{}", outcome.log);
    assert!(outcome.body.unwrap().contains("### wasiscope: failed (`wasiscope compare` ended with status 2"));
    let inputs = [("base", "no-such-commit")];
    let outcome = act(&repository, &Circumstances { inputs: &inputs, ..Circumstances::default() });
    assert_eq!((outcome.policy(), outcome.body), (2, None), "{}", outcome.log);
    assert!(outcome.log.contains("fetch-depth: 0"), "{}", outcome.log);
}

#[test]
fn no_input_is_run_as_a_script() {
    let repository = Repository::new();
    for name in action().inputs.keys() {
        for text in ["$(touch injected)", "`touch injected`", "\"; touch injected; \"", "'; touch injected; '"] {
            let inputs = [("base", repository.head.as_str()), (name, text)];
            act(&repository, &Circumstances { inputs: &inputs, ..Circumstances::default() });
            assert!(!repository.injected(), "{name} = {text}");
        }
    }
}

#[test]
fn nothing_is_expanded_into_the_text_of_a_script() {
    let action = action();
    let steps = workflow().jobs.into_values().flat_map(|job| job.steps).filter_map(|step| step.run);
    for script in steps.chain(action.runs.steps.into_iter().map(|step| step.run)) {
        assert!(!script.contains("${{"), "{script}");
    }
}

#[test]
fn the_workflow_calls_scripts_that_are_there_with_flags_that_they_know() {
    let mut called = BTreeSet::new();
    for line in workflow().jobs.values().flat_map(|job| &job.steps).filter_map(|step| step.run.as_deref()) {
        assert_eq!(line.trim().lines().count(), 1, "logic belongs into ci/: {line}");
        let words: Vec<&str> = line.split_whitespace().collect();
        let own = words.iter().position(|word| word.starts_with("ci/") || word.starts_with("target/"));
        let Some(own) = own else {
            assert!(line.starts_with("sudo chown "), "what is {line}?");
            continue;
        };
        assert!(own == 0 || words[..own] == ["sudo", "-E", "env", "\"PATH=$PATH\"", "\"HOME=$HOME\""], "{line}");
        let (program, arguments) = (words[own], &words[own + 1..]);
        called.insert(program.to_owned());
        let flags = arguments.iter().filter(|word| word.starts_with("--"));
        if program == "target/debug/wasiscope" {
            knows(&help(arguments[0]), flags, line);
        } else {
            assert_ne!(fs::metadata(root().join(program)).unwrap().permissions().mode() & 0o111, 0, "{program}");
            knows(&fs::read_to_string(root().join(program)).unwrap(), flags, line);
        }
    }
    for script in ["ci/test", "ci/publish"] {
        assert!(called.contains(script), "{called:?}");
    }
}

#[test]
fn the_workflow_calls_the_action_with_inputs_that_it_has() {
    let action = action();
    let steps: Vec<Step> = workflow().jobs.into_values().flat_map(|job| job.steps).collect();
    let local: Vec<&Step> =
        steps.iter().filter(|step| step.uses.as_deref().is_some_and(|uses| uses.starts_with("./"))).collect();
    assert!(!local.is_empty());
    for step in local {
        assert_eq!(step.uses.as_deref(), Some(&*format!("./{ACTION}")));
        assert!(step.with.keys().all(|name| action.inputs.contains_key(name)), "{:?}", step.with);
        let required = action.inputs.iter().filter(|(_, input)| input.required);
        assert!(required.map(|(name, _)| name).all(|name| step.with.contains_key(name)), "{:?}", step.with);
        let arguments = step.with.get("arguments").and_then(|value| value.as_str()).unwrap_or_default();
        knows(&help("compare"), arguments.split(' ').filter(|word| word.starts_with("--")), arguments);
    }
    // Inputs that no step reads, outputs that no step writes.
    let read: String = action.runs.steps.iter().flat_map(|step| step.env.values()).map(String::as_str).collect();
    assert!(action.inputs.keys().all(|name| read.contains(&format!("inputs.{name} "))), "{read}");
}

fn help(verb: &str) -> String {
    String::from_utf8(Command::new(WASISCOPE).args([verb, "--help"]).output().unwrap().stdout).unwrap()
}

fn knows<T: AsRef<str>>(text: &str, flags: impl Iterator<Item = T>, line: &str) {
    let words: BTreeSet<&str> = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).collect();
    for flag in flags {
        assert!(words.contains(flag.as_ref()), "{line}: {} is not known", flag.as_ref());
    }
}

/// GitHub refuses comments of more than 65,536 characters.
#[test]
fn a_comment_too_long_for_github_keeps_what_changed() {
    let repository = Repository::new();
    let compare = |unchanged: u32, regressed: u32| {
        let row = |verdict: &str, count: u32| {
            format!("for i in $(seq {count}); do echo \"| case-$i | phase.run | 1 ms | {verdict} | |\"; done\n")
        };
        let text = format!(
            "#!/usr/bin/env bash\necho 'regressed: many'\n{}{}exit 1\n",
            row("unchanged", unchanged),
            row("regressed", regressed)
        );
        let stand_in = repository.path("wasiscope");
        fs::write(&stand_in, text).unwrap();
        fs::set_permissions(&stand_in, fs::Permissions::from_mode(0o755)).unwrap();
        let inputs = [("wasiscope", stand_in.to_str().unwrap())];
        let outcome = act(&repository, &Circumstances { inputs: &inputs, ..Circumstances::default() });
        assert_eq!((outcome.policy(), outcome.verdict()), (1, "regressed"), "{}", outcome.log);
        outcome.body.unwrap()
    };
    let count =
        |body: &str, verdict: &str| body.lines().filter(|line| line.ends_with(&format!("| {verdict} | |"))).count();
    let short = compare(100, 10);
    assert_eq!((count(&short, "unchanged"), count(&short, "regressed")), (100, 10));
    let long = compare(3000, 10);
    assert_eq!((count(&long, "unchanged"), count(&long, "regressed")), (0, 10));
    assert!(long.contains("rows that are unchanged are left out"), "{long}");
    let longest = compare(10, 3000);
    assert!(longest.len() < 65_536 && count(&longest, "regressed") > 1000, "{}", longest.len());
    assert!(longest.contains("cut here") && longest.ends_with("</details>\n"), "{longest}");
}

#[test]
fn scripts_explain_themselves() {
    for script in ["ci/compare", "ci/publish"] {
        let output = Command::new(root().join(script)).current_dir(Path::new("/")).arg("--help").output().unwrap();
        assert!(output.status.success() && output.stdout.starts_with(b"usage: "), "{script}: {output:?}");
    }
}
