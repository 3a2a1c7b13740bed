//! Pages in a real browser, from `file://`, with the network off: they load without an error, sort, filter, follow deep links, have a dark and a print
//! mode, fit a narrow screen, and satisfy an accessibility checker. Needs chromium, chromedriver and axe-core: `ci/setup --browser`.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use common::{WASISCOPE, root};
use serde_json::{Value, json};

/// A session of a browser, by the WebDriver protocol.
struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    fn start() -> Self {
        // A free port: asked for, and given back.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let driver = driver.unwrap_or_else(|error| panic!("chromedriver: {error}; run ci/setup --browser"));
        let profile = tempfile::tempdir().unwrap();
        let address = format!("http://127.0.0.1:{port}/session");
        let profile_argument = format!("--user-data-dir={}", profile.path().display());
        let arguments =
            ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking", &profile_argument];
        let wanted = json!({"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"}}}});
        let deadline = Instant::now() + Duration::from_secs(60);
        let answer = loop {
            match ureq::post(&address).send_json(&wanted) {
                Ok(mut answer) => break answer.body_mut().read_json::<Value>().unwrap(),
                Err(error) => assert!(Instant::now() < deadline, "no browser: {error}"),
            }
            thread::sleep(Duration::from_millis(100));
        };
        let session = format!("{address}/{}", answer["value"]["sessionId"].as_str().unwrap());
        let browser = Self { driver, session, _profile: profile };
        browser.devtools("Network.enable", &json!({}));
        let off = json!({"offline": true, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0});
        browser.devtools("Network.emulateNetworkConditions", &off);
        browser
    }

    fn post(&self, path: &str, body: &Value) -> Value {
        let mut answer = ureq::post(format!("{}/{path}", self.session))
            .config()
            .http_status_as_error(false)
            .build()
            .send_json(body)
            .unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        assert!(answer["value"].get("error").is_none(), "{path}: {answer}");
        answer["value"].clone()
    }

    fn devtools(&self, command: &str, parameters: &Value) -> Value {
        self.post("goog/cdp/execute", &json!({"cmd": command, "params": parameters}))
    }

    /// Opens a page anew, also when only its fragment is another.
    fn open(&self, page: &Path, fragment: &str) {
        self.post("url", &json!({"url": "about:blank"}));
        self.post("url", &json!({"url": format!("file://{}{fragment}", page.display())}));
    }

    fn run(&self, script: &str) -> Value {
        self.post("execute/sync", &json!({"script": script, "args": []}))
    }

    fn is(&self, expression: &str) -> bool {
        self.run(&format!("return !!({expression})")).as_bool().unwrap()
    }

    fn size(&self, width: u32, height: u32) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", &metrics);
    }

    /// What the console got, of errors and warnings.
    fn complaints(&self) -> Vec<String> {
        let log = self.post("se/log", &json!({"type": "browser"}));
        let lines = log.as_array().unwrap().iter().filter(|line| line["level"] != "INFO" && line["level"] != "DEBUG");
        lines.map(|line| line["message"].as_str().unwrap().to_owned()).collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Ends the browser; then the driver, which is our child.
        let _ = ureq::delete(&self.session).call();
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// Pages of a run, of a comparison and of a site.
struct Pages {
    report: PathBuf,
    comparison: PathBuf,
    site: PathBuf,
}

/// Made once for this executable: each test is a process of its own, and they would all make the same.
fn pages() -> &'static Pages {
    static PAGES: OnceLock<Pages> = OnceLock::new();
    PAGES.get_or_init(|| {
        // Of this wasiscope, by this test.
        let built = [PathBuf::from(WASISCOPE), std::env::current_exe().unwrap()].map(|file| {
            let built = fs::metadata(file).unwrap().modified().unwrap();
            built.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos()
        });
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("pages-{}-{}", built[0], built[1]));
        fs::create_dir_all(&folder).unwrap();
        let lock = fs::File::create(folder.join("lock")).unwrap();
        // Until this process has made them, or ends.
        lock.lock().unwrap();
        let done = folder.join("done");
        if !done.is_file() {
            make(&folder);
            fs::write(done, "").unwrap();
        }
        let at = |name: &str| folder.join(name);
        Pages { report: at("report.html"), comparison: at("comparison.html"), site: at("site/index.html") }
    })
}

fn make(folder: &Path) {
    let wasiscope = |arguments: &[&str]| {
        let mut command = Command::new(WASISCOPE);
        // The folder lies in this checkout, to whose commits these do not belong.
        command.current_dir(folder).env("GIT_CEILING_DIRECTORIES", folder.parent().unwrap());
        let output = command.args(arguments).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let root = root().display().to_string();
    let run = ["run", "--root", &root, "startup", "catalogue", "--only", "{hello,sort}/*", "--html", "report.html"];
    let few = ["--capture", "off", "--processes", "8", "--iterations", "1", "--seed", "1", "--trace", "trace.json"];
    wasiscope(&[&run[..], &few, &["--out", "report.json"]].concat());
    let guest = |name: &str, n: u32| {
        let text = format!(
            "(module (memory (export \"memory\") 1) (func (export \"_start\") (local $i i32) (loop $l (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {n}))))))"
        );
        fs::write(folder.join(name), text).unwrap();
    };
    guest("base.wat", 200_000);
    guest("new.wat", 300_000);
    let compared = ["compare", "base.wat", "new.wat", "--metric", "phase.run", "--processes", "10"];
    wasiscope(&[&compared[..], &["--html", "comparison.html", "--fail-on", "never"]].concat());
    // The same report of two commits: a history.
    let report: Value = serde_json::from_slice(&fs::read(folder.join("report.json")).unwrap()).unwrap();
    for (name, commit, started_at) in
        [("one.json", "a", "2026-01-01T00:00:00Z"), ("two.json", "b", "2026-01-02T00:00:00Z")]
    {
        let mut of_commit = report.clone();
        of_commit["git"] = json!({"commit": commit.repeat(40), "dirty": false});
        of_commit["started_at"] = json!(started_at);
        fs::write(folder.join(name), of_commit.to_string()).unwrap();
    }
    wasiscope(&["--root", ".", "html", "one.json", "two.json", "--out", "site"]);
}

#[test]
fn pages_load_without_a_network_and_without_a_complaint() {
    let Pages { report, comparison, site } = pages();
    let browser = Browser::start();
    for page in [report, comparison, site] {
        browser.open(page, "");
        assert!(browser.is("document.querySelector('h1') && document.readyState === 'complete'"));
        assert_eq!(browser.complaints(), [] as [String; 0], "{}", page.display());
        let fetched = browser.run("return performance.getEntriesByType('resource').map(entry => entry.name)");
        assert_eq!(fetched, json!([]), "{}", page.display());
    }
}

#[test]
fn tables_sort_and_filter() {
    let Pages { report, .. } = pages();
    let browser = Browser::start();
    browser.open(report, "");
    // By size: 4.1 KiB before 45.5 KiB, and back.
    let sizes =
        "[...document.querySelectorAll('#catalogue table')[0].tBodies[0].rows].map(row => row.cells[2].textContent)";
    let click =
        "[...document.querySelectorAll('#catalogue table')[0].tHead.rows[0].cells][2].querySelector('button').click()";
    let bytes = |value: &Value| -> Vec<f64> {
        let text = |cell: &Value| {
            let text = cell.as_str().unwrap();
            let (number, unit) = text.split_once(' ').unwrap();
            number.parse::<f64>().unwrap() * if unit == "KiB" { 1024.0 } else { 1.0 }
        };
        value.as_array().unwrap().iter().map(text).collect()
    };
    browser.run(click);
    let ascending = bytes(&browser.run(&format!("return {sizes}")));
    assert!(ascending.len() >= 4 && ascending.is_sorted(), "{ascending:?}");
    browser.run(click);
    let descending = bytes(&browser.run(&format!("return {sizes}")));
    assert!(descending.iter().rev().is_sorted(), "{descending:?}");
    assert!(browser.is("document.querySelector('#catalogue th[aria-sort=descending]')"));
    // The environment has more than a screenful of rows.
    browser.run("const input = document.querySelector('input[type=search]'); input.value = 'sort'; input.dispatchEvent(new Event('input'))");
    let (all, shown) = (
        browser.run("return document.querySelector('input[type=search]').nextElementSibling.querySelectorAll('tbody tr').length"),
        browser.run("return [...document.querySelector('input[type=search]').nextElementSibling.querySelectorAll('tbody tr')].filter(row => !row.hidden).length"),
    );
    assert!(shown.as_u64() < all.as_u64(), "{shown} of {all}");
}

#[test]
fn deep_links_open_what_they_point_to() {
    let Pages { report, .. } = pages();
    let browser = Browser::start();
    browser.open(report, "#startup/hello/std/cranelift/phase.run");
    assert!(browser.is("document.getElementById('startup/hello/std/cranelift').open"));
    let top = "document.getElementById('startup/hello/std/cranelift/phase.run').getBoundingClientRect().top";
    assert!(browser.is(&format!("{top} >= 0 && {top} < innerHeight")), "it is on the screen");
    // Without the script, links within the page are plain links all the same.
    assert!(browser.is("[...document.querySelectorAll('a[href^=\"#\"]')].every(link => document.getElementById(decodeURIComponent(link.getAttribute('href').slice(1))))"));
}

#[test]
fn points_of_the_index_lead_to_their_reports() {
    let Pages { site, .. } = pages();
    let browser = Browser::start();
    browser.open(site, "");
    // The first of two points of the first series is the older commit.
    let point = "document.querySelector('td svg a')";
    assert!(browser.is(&format!("{point}.querySelector('title').textContent.startsWith('aaaaaaaaaaaa ')")));
    browser.run(&format!("{point}.dispatchEvent(new MouseEvent('click', {{bubbles: true}}))"));
    let deadline = Instant::now() + Duration::from_secs(30);
    while !browser.is("location.pathname.includes('/aaaaaaaaaaaa-2026-01-01') && document.querySelector('h1')") {
        assert!(Instant::now() < deadline, "{}", browser.run("return location.href"));
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn the_traced_iteration_of_a_case_is_drawn_phase_by_phase() {
    let Pages { report, .. } = pages();
    let browser = Browser::start();
    browser.open(report, "#startup/hello/std/cranelift");
    let drawing =
        "document.getElementById('startup/hello/std/cranelift').querySelector('svg[aria-label^=\"one iteration\"]')";
    let names = browser
        .run(&format!("return [...{drawing}.querySelectorAll('text[text-anchor=end]')].map(text => text.textContent)"));
    let names: Vec<&str> = names.as_array().unwrap().iter().map(|name| name.as_str().unwrap()).collect();
    for phase in ["engine", "compile", "instantiate", "run", "teardown"] {
        assert!(names.contains(&phase), "{phase}: {names:?}");
    }
}

#[test]
fn dark_print_and_narrow_screens() {
    let Pages { report, comparison, site } = pages();
    let browser = Browser::start();
    let lightness = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0) / 3";
    for page in [report, comparison, site] {
        for (scheme, dark) in [("light", false), ("dark", true)] {
            let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
            browser.devtools("Emulation.setEmulatedMedia", &json!({"media": "", "features": features}));
            browser.open(page, "");
            assert!(browser.is(&format!("({lightness} < 100) === {dark}")), "{scheme}");
        }
        browser.size(360, 800);
        browser.open(page, "");
        browser.run("document.querySelectorAll('details').forEach(details => { details.open = true; })");
        let wide = browser.run("return [document.documentElement.scrollWidth, innerWidth]");
        assert!(wide[0].as_u64() <= wide[1].as_u64(), "{}: {wide}", page.display());
        browser.size(1280, 900);
        browser.devtools("Emulation.setEmulatedMedia", &json!({"media": "print", "features": []}));
        browser.open(page, "");
        assert!(!browser.is("[...document.querySelectorAll('nav, input, .tools')].some(part => part.offsetParent)"));
        let pdf = browser.devtools("Page.printToPDF", &json!({}));
        assert!(pdf["data"].as_str().is_some_and(|data| data.len() > 10_000));
        browser.devtools("Emulation.setEmulatedMedia", &json!({"media": "", "features": []}));
    }
}

#[test]
fn an_accessibility_checker_finds_nothing_serious() {
    let axe = root().join("target/tools/axe/node_modules/axe-core/axe.min.js");
    let axe = fs::read_to_string(axe).unwrap_or_else(|error| panic!("axe-core: {error}; run ci/setup --browser"));
    let Pages { report, comparison, site } = pages();
    let browser = Browser::start();
    for scheme in ["light", "dark"] {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        browser.devtools("Emulation.setEmulatedMedia", &json!({"media": "", "features": features}));
        for page in [report, comparison, site] {
            browser.open(page, "");
            browser.run("document.querySelectorAll('details').forEach(details => { details.open = true; })");
            browser.run(&axe);
            let script =
                "const done = arguments[arguments.length - 1]; axe.run().then(done, error => done(String(error)))";
            let found = browser.post("execute/async", &json!({"script": script, "args": []}));
            let serious: Vec<String> = found["violations"]
                .as_array()
                .unwrap_or_else(|| panic!("{found}"))
                .iter()
                .filter(|violation| ["serious", "critical"].contains(&violation["impact"].as_str().unwrap_or_default()))
                .map(|violation| {
                    format!("{}: {} ({})", violation["id"], violation["help"], violation["nodes"][0]["html"])
                })
                .collect();
            assert_eq!(serious, [] as [String; 0], "{} {scheme}", page.display());
        }
    }
}
