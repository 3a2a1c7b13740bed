//! What a native executable says about itself, for the flavour outside wasm.

use object::{Object, ObjectSection, SectionKind};
use serde_json::Value;

use wasiscope_model::record::Facts;
use wasiscope_stats as stats;

/// The facts that an executable's bytes alone tell: the size of the file, and of its machine code.
///
/// # Errors
/// When the bytes are no executable.
pub fn facts(executable: &[u8]) -> Result<Facts, String> {
    let file = object::File::parse(executable).map_err(|error| format!("not an executable: {error}"))?;
    let code =
        stats::total(file.sections().filter(|section| section.kind() == SectionKind::Text).map(|text| text.size()));
    if code > executable.len() as u64 {
        return Err(format!("not an executable: {code} bytes of machine code in a file of {}", executable.len()));
    }
    Ok(Facts::from([
        ("size.native".to_owned(), Value::from(executable.len())),
        ("size.native_code".to_owned(), Value::from(code)),
    ]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_test_is_an_executable() {
        let bytes = std::fs::read("/proc/self/exe").unwrap();
        let facts = facts(&bytes).unwrap();
        assert_eq!(facts["size.native"], bytes.len());
        let code = facts["size.native_code"].as_u64().unwrap();
        assert!(code > 0 && code < bytes.len() as u64);
    }

    #[test]
    fn more_code_than_there_are_bytes_is_refused() {
        let file = include_bytes!("../../fuzz/seeds/wasm/more-code-than-file");
        assert!(facts(file).unwrap_err().contains("18446744073709551615 bytes of machine code in a file of 296"));
    }

    #[test]
    fn anything_else_is_refused() {
        assert!(facts(b"\0asm\x01\0\0\0").is_err());
    }
}
