//! What an object's metadata holds beside what every unit's objects bear.

use std::collections::BTreeMap;

use crate::labels;

/// Labels and annotations beside ours.
#[derive(Debug, Clone, Default)]
pub struct Metadata {
    /// Extra labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

impl Metadata {
    /// The recommended name label of a component.
    #[must_use]
    pub fn of(component: fleet::Component) -> Self {
        Self {
            labels: BTreeMap::from([(labels::NAME.to_owned(), component.to_string())]),
            annotations: BTreeMap::new(),
        }
    }

    /// With these annotations.
    #[must_use]
    pub fn annotated(mut self, annotations: BTreeMap<String, String>) -> Self {
        self.annotations.extend(annotations);
        self
    }
}
