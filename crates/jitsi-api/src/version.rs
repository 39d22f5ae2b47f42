//! What a daemon says it is.

use serde::Deserialize;

/// The answer of `/about/version`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Version {
    /// The product, as `JVB` or `Jicofo`.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What it runs on.
    pub os: Option<String>,
}
