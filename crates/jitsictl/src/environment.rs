//! What the process was started with. Read once; everything else gets it as a value.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf};

use cluster::Proxies;

/// Arguments, variables and folders of the process.
#[derive(Clone, Default)]
pub struct Environment {
    /// The arguments, the program's name first.
    pub arguments: Vec<OsString>,
    /// Environment variables that are UTF-8; the others can't be ours.
    pub variables: BTreeMap<String, String>,
    /// The home folder, for `~/.kube/config`.
    pub home: Option<PathBuf>,
}

impl std::fmt::Debug for Environment {
    /// Without the variables' values: secrets come by this way.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment").field("arguments", &self.arguments).finish_non_exhaustive()
    }
}

/// Names the fleet file.
pub(crate) const FLEET: &str = "JITSICTL_FLEET";
/// The address of a daemon that is asked for the status.
pub(crate) const DAEMON: &str = "JITSICTL_DAEMON";
/// Filters what is logged.
pub(crate) const LOG: &str = "JITSICTL_LOG";
/// A list of kubeconfigs, as kubectl reads it.
pub(crate) const KUBECONFIG: &str = "KUBECONFIG";

impl Environment {
    /// Of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        Self {
            arguments: std::env::args_os().collect(),
            variables: std::env::vars_os().filter_map(text).collect(),
            home: std::env::home_dir(),
        }
    }

    /// The value of a variable; an empty one counts as not set.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The proxy settings, in either spelling.
    pub(crate) fn proxies(&self) -> Proxies {
        let either = |upper: &str| self.get(upper).or_else(|| self.get(&upper.to_ascii_lowercase())).map(str::to_owned);
        Proxies { https_proxy: either("HTTPS_PROXY"), no_proxy: either("NO_PROXY") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_variable_counts_as_not_set() {
        let variables = [("JITSICTL_FLEET", "a.yaml"), ("KUBECONFIG", "")];
        let variables = variables.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let environment = Environment { variables, ..Environment::default() };
        assert_eq!(environment.get(FLEET), Some("a.yaml"));
        assert_eq!(environment.get(KUBECONFIG), None);
        assert_eq!(environment.get(LOG), None);
    }
}
