//! Engines, as far as whoever reads a report must know them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How an engine was set: a value that only its program reads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings(Value);

impl Settings {
    /// Of a value of the program's own.
    ///
    /// # Panics
    /// When the value cannot be JSON: a mistake in the program's table, which its tests meet.
    #[must_use]
    pub fn of<T: Serialize>(value: &T) -> Self {
        Self(serde_json::to_value(value).unwrap_or_else(|error| panic!("settings are plain data: {error}")))
    }

    /// The value again.
    ///
    /// # Errors
    /// When it is of another program, or of another version of it.
    pub fn read<T: for<'de> Deserialize<'de>>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.0)
    }
}

/// A setting that one of two versions does not know is off, or left to the engine, in the other.
impl PartialEq for Settings {
    fn eq(&self, other: &Self) -> bool {
        let (Value::Object(one), Value::Object(two)) = (&self.0, &other.0) else { return self.0 == other.0 };
        let is_off = |value: &Value| matches!(value, Value::Null | Value::Bool(false));
        one.keys().chain(two.keys()).all(|key| match (one.get(key), two.get(key)) {
            (Some(one), Some(two)) => one == two,
            (one, two) => one.or(two).is_none_or(is_off),
        })
    }
}

impl Eq for Settings {}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_an_older_version_does_not_know_is_off() {
        let settings = |value| Settings(value);
        let old = settings(json!({"compiler": "winch"}));
        assert_eq!(old, settings(json!({"compiler": "winch", "parallel_compilation": false, "memory_guard": null})));
        assert_ne!(old, settings(json!({"compiler": "winch", "parallel_compilation": true})));
        assert_ne!(old, settings(json!({"compiler": "pulley"})));
        assert_ne!(old, settings(json!(null)));
    }
}
