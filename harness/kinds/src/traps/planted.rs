//! `--plant-fault`: a fault that is put into the checks of traps on purpose.

use wasiscope_model::fail;
use wasiscope_model::work::Work;

use crate::traps::{Check, Family, OPERATIONS, Planted};
use wasiscope_scenario::nearest;
use wasiscope_scenario::plan::Case;

/// Reads `oracle:i32.load`, `canary:i32.store` or `engine`.
///
/// # Errors
/// What to write instead.
pub fn read(text: &str) -> Result<Planted, String> {
    let operation = |name: &str| {
        let known = || OPERATIONS.iter().map(|operation| operation.name);
        if known().any(|known| known == name) {
            return Ok(name.to_owned());
        }
        let meant = nearest(name, known()).map(|near| format!(" (did you mean `{near}`?)")).unwrap_or_default();
        Err(format!("no operation `{name}`{meant}"))
    };
    match text.split_once(':') {
        Some(("oracle", name)) => Ok(Planted::Oracle { operation: operation(name)? }),
        Some(("canary", name)) => Ok(Planted::Canary { operation: operation(name)? }),
        None if text == "engine" => Ok(Planted::Engine),
        _ => Err("write oracle:OPERATION, canary:OPERATION or engine".to_owned()),
    }
}

/// A fault in what is not tried would go unseen, and seem to be one that is not found.
///
/// # Errors
/// When none of the cases tries it.
pub fn check(fault: &Planted, cases: &[Case]) -> anyhow::Result<()> {
    let families: Vec<Family> = cases
        .iter()
        .filter_map(|case| match case.spec.read().ok().filter(|_: &Check| case.work == Work::Check) {
            Some(Check::Matrix { family, .. }) => Some(family),
            _ => None,
        })
        .collect();
    let held = match fault {
        Planted::Engine => !families.is_empty(),
        Planted::Oracle { operation: name } | Planted::Canary { operation: name } => {
            OPERATIONS.iter().any(|operation| operation.name == name && families.contains(&operation.family))
        }
    };
    if !held {
        fail!(OptionDoesNotApply, "--plant-fault: none of the selected cases is of the matrix and tries that");
    }
    Ok(())
}
