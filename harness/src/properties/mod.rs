//! What must hold for whatever comes from outside: one property for each place where bytes are read. cargo-fuzz (`harness/fuzz`) and
//! `tests/properties.rs` call the same functions; each panics when its property is broken. Not a part of the library's interface.

mod arguments;
mod comparison;
mod events;
#[cfg(feature = "html")]
mod markup;
mod messages;
mod report;
mod scenario;
mod wasm;

pub use arguments::arguments;
pub use comparison::comparison;
pub use events::events;
pub use messages::messages;
pub use report::report;
pub use scenario::scenario;
pub use wasm::wasm;

/// A property.
pub type Property = fn(&[u8]);

/// Every property, by the name of its target.
pub const ALL: [(&str, Property); 7] = [
    ("arguments", arguments),
    ("scenario", scenario),
    ("report", report),
    ("comparison", comparison),
    ("messages", messages),
    ("events", events),
    ("wasm", wasm),
];

/// What is written is what is read: the same value, from the same bytes again.
fn survives_being_stored<T>(value: &T)
where
    T: PartialEq + std::fmt::Debug + serde::Serialize + serde::de::DeserializeOwned,
{
    let text = serde_json::to_string(value).expect("documents are plain data");
    match serde_json::from_str::<T>(&text) {
        Ok(again) => assert!(again == *value, "what was written is not what is read:\n{value:?}\n{again:?}"),
        Err(error) => panic!("what was written is not read: {error}\n{text}"),
    }
}

/// What goes to a terminal moves no cursor and changes no colour.
fn is_plain(text: &str) {
    let control = text.chars().find(|c| c.is_control() && *c != '\n');
    assert!(control.is_none(), "a control character {control:?} goes to the terminal");
}

/// What goes into a comment on the web has no tags in it.
fn has_no_tags(text: &str) {
    is_plain(text);
    let tag = text.match_indices('<').find(|(at, _)| {
        let next = text[at + 1..].chars().next();
        next.is_some_and(|next| next.is_ascii_alphabetic() || "/!?".contains(next))
    });
    assert!(tag.is_none(), "a tag in Markdown");
}
