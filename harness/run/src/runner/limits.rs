//! Limits as reasons: which one a guest met, in which phase, and which option changes it.

use rustix::process::Resource;
use wasiscope_ebpf_abi::Phase;

use wasiscope_model::code::Code;
use wasiscope_model::units;
use wasiscope_scenario::Limits;
use wasiscope_worker::limits::{DESCRIPTORS, FILE_BYTES};
use wasiscope_worker::{Limit, LimitMet};

/// What happened, behind the limits that were met before it: those are the cause.
pub(super) fn explain(met: &[LimitMet], limits: &Limits, code: Code, what: &str) -> (Code, String) {
    let mut reasons: Vec<String> = met.iter().map(|met| reason(*met, limits)).collect();
    reasons.push(what.to_owned());
    (if met.is_empty() { code } else { Code::LimitMet }, reasons.join("; "))
}

fn reason(met: LimitMet, limits: &Limits) -> String {
    let phase = match met.phase {
        Phase::Outside => String::new(),
        // What is counted as the trap is still the guest's own run.
        Phase::Trap => format!(" in {}", Phase::Run.name()),
        phase => format!(" in {}", phase.name()),
    };
    let memory = units::bytes(limits.memory_bytes);
    let raise = |option: &str, key: &str| format!("raise it with {option}, or `limits: {key}` in a scenario");
    match met.limit {
        Limit::Output => format!(
            "output limit met{phase}: the guest wrote more than {} to stdout or stderr ({})",
            units::bytes(limits.output_bytes),
            raise("--max-output", "output")
        ),
        Limit::Memory => format!(
            "memory limit met{phase}: {memory} for all memories and tables together ({})",
            raise("--memory", "memory")
        ),
        Limit::Table => format!(
            "memory limit met{phase} by a table: {memory} for all memories and tables together ({})",
            raise("--memory", "memory")
        ),
        Limit::Stack => format!(
            "stack limit met{phase}: {} of call stack ({})",
            units::bytes(limits.stack_bytes),
            raise("--stack", "stack")
        ),
        Limit::AddressSpace => format!("address space limit met{phase}: {}", address_space()),
        Limit::FileSize => {
            let most = rustix::process::getrlimit(Resource::Fsize).current.unwrap_or(FILE_BYTES).min(FILE_BYTES);
            format!(
                "file size limit met{phase}: {} in one file (`ulimit -f`, and at most {})",
                units::bytes(most),
                units::bytes(FILE_BYTES)
            )
        }
        Limit::Descriptors => {
            let most = rustix::process::getrlimit(Resource::Nofile).maximum.unwrap_or(DESCRIPTORS).min(DESCRIPTORS);
            format!(
                "descriptor limit met{phase}: {most} open files and folders (`ulimit -Hn`, and at most {DESCRIPTORS})"
            )
        }
    }
}

/// A linear memory reserves more than it uses, so this is mostly the shell's limit and not the machine's memory.
fn address_space() -> String {
    match rustix::process::getrlimit(Resource::As).current {
        Some(most) => format!(
            "`ulimit -v` leaves {}, and a linear memory reserves some 4 GiB (raise it, or run under an engine with a smaller \
             `memory_reservation`)",
            units::bytes(most)
        ),
        None => "the kernel refused to map memory, though there is no `ulimit -v` (see vm.overcommit_memory and \
                 vm.max_map_count, and what memory is free)"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_the_limit_its_value_the_phase_and_the_option() {
        let met = [LimitMet { limit: Limit::Memory, phase: Phase::Run }];
        let (code, text) = explain(&met, &Limits::default(), Code::Trapped, "unreachable");
        assert_eq!(code, Code::LimitMet);
        for part in ["memory limit", "in run", "1.00 GiB", "--memory", "limits: memory", "; unreachable"] {
            assert!(text.contains(part), "no {part:?} in {text:?}");
        }
        let none = explain(&[], &Limits::default(), Code::Trapped, "unreachable");
        assert_eq!(none, (Code::Trapped, "unreachable".to_owned()));
    }
}
