//! The body of an object, as text.
//!
//! A large fleet has thousands of objects, and a tree of JSON takes ten times the memory of its text. So trees are
//! made where something is looked up or changed, and dropped again.

use serde::Serialize;
use serde_json::Value as Json;

/// An object as JSON text, its keys in order.
#[derive(Clone, PartialEq, Eq)]
pub struct Body(Box<str>);

impl Body {
    /// The text of a value.
    #[must_use]
    pub fn new(value: &impl Serialize) -> Self {
        // Trees of JSON and what is made of them always have a text: no key is anything but a string.
        Self(serde_json::to_string(value).unwrap_or_default().into())
    }

    /// What is JSON text already.
    #[must_use]
    pub fn of_text(text: String) -> Self {
        Self(text.into())
    }

    /// The text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }

    /// The tree; made anew each time.
    #[must_use]
    pub fn json(&self) -> Json {
        // What was written above can be read.
        serde_json::from_str(&self.0).unwrap_or_default()
    }

    /// Changes the tree.
    pub fn change(&mut self, change: impl FnOnce(&mut Json)) {
        let mut json = self.json();
        change(&mut json);
        *self = Self::new(&json);
    }
}

impl std::fmt::Debug for Body {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
