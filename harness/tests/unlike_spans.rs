//! Where one side marks its measured part and the other does not, `run` is not the same span, and gets no verdict.

mod common;

use std::process::Command;

use common::WASISCOPE;
use serde_json::Value;

fn guest(imports: &str, body: &str) -> String {
    format!(
        r#"(module {imports} (memory (export "memory") 1)
            (func $work (local $left i32) (local.set $left (i32.const 1000000))
                (loop $again (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1))))))
            (func (export "_start") {body}))"#
    )
}

#[test]
fn marks_on_one_side_alone_leave_run_and_init_without_a_verdict() {
    let folder = tempfile::tempdir().expect("a folder");
    let imports = r#"(import "bench" "start" (func $start)) (import "bench" "end" (func $end))"#;
    let marked = guest(imports, "(call $work) (call $start) (call $work) (call $end)");
    let marked = common::file(&folder, "marked.wat", marked);
    let plain = common::file(&folder, "plain.wat", guest("", "(call $work) (call $work)"));
    for sides in [[&marked, &plain], [&plain, &marked]] {
        let mut command = Command::new(WASISCOPE);
        command.current_dir(folder.path()).arg("compare").args(sides).args(["--capture", "off", "--format", "json"]);
        let output = command.args(["--processes", "8"]).output().expect("wasiscope starts");
        let comparison: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let rows = comparison["rows"].as_array().expect("rows");
        let row = |metric: &str| rows.iter().find(|row| row["metric"] == metric).unwrap_or_else(|| panic!("{rows:#?}"));
        for metric in ["phase.run", "phase.init"] {
            let row = row(metric);
            assert_eq!((row["verdict"].as_str(), &row["ratio"]), (Some("inconclusive"), &Value::Null), "{row}");
            assert!(row["note"].as_str().is_some_and(|note| note.contains("marks its measured part")), "{row}");
        }
        assert!(row("phase.run")["base"].as_f64().is_some() && row("phase.run")["new"].as_f64().is_some());
        for metric in ["phase.compile", "phase.instantiate"] {
            assert!(row(metric)["ratio"].as_f64().is_some(), "{}", row(metric));
        }
        assert_ne!(output.status.code(), Some(2));
    }
}
