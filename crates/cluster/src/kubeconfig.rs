//! Kubeconfigs, found and merged as kubectl does it.

use std::io;
use std::path::{Path, PathBuf};

use kube::config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError};
use sha2::{Digest as _, Sha256};

/// The merged kubeconfigs of this runner. Says nothing of what is in them when printed.
#[derive(Clone, Default)]
pub struct Kubeconfigs {
    merged: Kubeconfig,
    from: Vec<PathBuf>,
    places: Places,
}

/// Where kubeconfigs are looked for.
#[derive(Clone)]
enum Places {
    /// There, and it must be there.
    Named(PathBuf),
    /// There, as far as they exist.
    Listed(Vec<PathBuf>),
}

impl Default for Places {
    fn default() -> Self {
        Self::Listed(Vec::new())
    }
}

/// A kubeconfig that can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct Unreadable {
    /// Which file.
    pub path: PathBuf,
    /// Why.
    pub why: String,
}

impl Kubeconfigs {
    /// Loads the explicit file; else those of KUBECONFIG, where an earlier one wins and missing ones are skipped; else
    /// `.kube/config` in the home folder, if there is one.
    ///
    /// # Errors
    /// When a file can't be read or parsed, or the explicit one is missing.
    pub fn load(
        explicit: Option<&Path>,
        kubeconfig_env: Option<&str>,
        home: Option<&Path>,
    ) -> Result<Self, Unreadable> {
        let listed = || match kubeconfig_env.filter(|list| !list.is_empty()) {
            Some(list) => std::env::split_paths(list).filter(|path| !path.as_os_str().is_empty()).collect(),
            None => home.map(|home| home.join(".kube").join("config")).into_iter().collect(),
        };
        Self::at(explicit.map_or_else(|| Places::Listed(listed()), |path| Places::Named(path.to_owned())))
    }

    /// The same files, read again.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn again(&self) -> Result<Self, Unreadable> {
        Self::at(self.places.clone())
    }

    fn at(places: Places) -> Result<Self, Unreadable> {
        let listed = match &places {
            Places::Named(path) => {
                return Ok(Self { merged: read(path)?, from: vec![path.clone()], places });
            }
            Places::Listed(listed) => listed.clone(),
        };
        let mut all = Self { places, ..Self::default() };
        for path in listed {
            match path.try_exists() {
                Ok(false) => continue,
                Ok(true) => {}
                Err(error) => return Err(Unreadable { path, why: error.to_string() }),
            }
            let next = read(&path)?;
            all.merged = all.merged.merge(next).map_err(|error| unreadable(&path, &error))?;
            all.from.push(path);
        }
        Ok(all)
    }

    /// The contexts there are, sorted.
    #[must_use]
    pub fn contexts(&self) -> Vec<String> {
        let mut names: Vec<String> = self.merged.contexts.iter().map(|context| context.name.clone()).collect();
        names.sort();
        names
    }

    /// The files that were found.
    #[must_use]
    pub fn files(&self) -> &[PathBuf] {
        &self.from
    }

    /// The files that were looked for.
    #[must_use]
    pub fn looked_for(&self) -> &[PathBuf] {
        match &self.places {
            Places::Named(path) => std::slice::from_ref(path),
            Places::Listed(paths) => paths,
        }
    }

    /// The files that a context names: certificates and keys. Whoever rotates those may leave the kubeconfig as it is. The
    /// file of a token is none of them: it is read again by those who send it.
    #[must_use]
    pub fn named_files(&self, context: &str) -> Vec<PathBuf> {
        let (cluster, user) = self.entries(context);
        let authority = cluster.and_then(|cluster| cluster.certificate_authority.as_ref());
        let own = user.into_iter().flat_map(|user| [&user.client_certificate, &user.client_key]).flatten();
        authority.into_iter().chain(own).map(PathBuf::from).collect()
    }

    /// Tells apart what a context opens its cluster with: what stands about it in the kubeconfigs, and what is in the files
    /// that it names. Other contexts are of no concern.
    #[must_use]
    pub fn digest(&self, context: &str) -> [u8; 32] {
        let (cluster, user) = self.entries(context);
        let mut digest = Sha256::new();
        // What can't be written can't be used either, so it is the same as nothing.
        digest.update(serde_json::to_vec(&(cluster, user)).unwrap_or_default());
        for file in self.named_files(context) {
            digest.update(Sha256::digest(std::fs::read(file).unwrap_or_default()));
        }
        digest.finalize().into()
    }

    fn entries(&self, context: &str) -> (Option<&Cluster>, Option<&AuthInfo>) {
        let named = self.merged.contexts.iter().find(|named| named.name == context);
        let Some(context) = named.and_then(|named| named.context.as_ref()) else { return (None, None) };
        let cluster = self.merged.clusters.iter().find(|named| named.name == context.cluster);
        let user = self.merged.auth_infos.iter().find(|named| Some(&named.name) == context.user.as_ref());
        (cluster.and_then(|named| named.cluster.as_ref()), user.and_then(|named| named.auth_info.as_ref()))
    }

    pub(crate) const fn merged(&self) -> &Kubeconfig {
        &self.merged
    }
}

impl std::fmt::Debug for Kubeconfigs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Kubeconfigs").field("from", &self.from).field("contexts", &self.contexts()).finish()
    }
}

fn read(path: &Path) -> Result<Kubeconfig, Unreadable> {
    Kubeconfig::read_from(path).map_err(|error| unreadable(path, &error))
}

fn unreadable(path: &Path, error: &KubeconfigError) -> Unreadable {
    let why = match error {
        KubeconfigError::ReadConfig(io, _) if io.kind() == io::ErrorKind::NotFound => {
            "there is no such file".to_owned()
        }
        KubeconfigError::ReadConfig(io, _) => io.to_string(),
        KubeconfigError::Parse(yaml) => match yaml.location() {
            // The parser's own message quotes lines, which may hold a token.
            Some(place) => format!("not a kubeconfig: line {}, column {}", place.line(), place.column()),
            None => "not a kubeconfig".to_owned(),
        },
        other => other.to_string(),
    };
    Unreadable { path: path.to_owned(), why }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(folder: &Path, name: &str, contexts: &[&str]) -> PathBuf {
        let entries: Vec<String> = contexts
            .iter()
            .map(|name| format!("{{name: {name}, context: {{cluster: {name}, user: {name}}}}}"))
            .collect();
        let path = folder.join(name);
        std::fs::write(&path, format!("apiVersion: v1\nkind: Config\ncontexts: [{}]\n", entries.join(", "))).unwrap();
        path
    }

    #[test]
    fn found_as_kubectl_finds_them() {
        let folder = tempfile::tempdir().unwrap();
        let one = write(folder.path(), "one", &["b", "a"]);
        let two = write(folder.path(), "two", &["c"]);
        std::fs::create_dir(folder.path().join(".kube")).unwrap();
        write(folder.path(), ".kube/config", &["home"]);
        let home = Some(folder.path());

        let explicit = Kubeconfigs::load(Some(&one), Some("elsewhere"), home).unwrap();
        assert_eq!(explicit.contexts(), ["a", "b"]);
        let list = format!("{}:{}:{}", one.display(), folder.path().join("missing").display(), two.display());
        assert_eq!(Kubeconfigs::load(None, Some(&list), home).unwrap().contexts(), ["a", "b", "c"]);
        assert_eq!(Kubeconfigs::load(None, Some(""), home).unwrap().contexts(), ["home"]);
        assert_eq!(Kubeconfigs::load(None, None, None).unwrap().contexts(), [""; 0]);

        assert_eq!(Kubeconfigs::load(None, Some(&list), home).unwrap().looked_for().len(), 3);

        let missing = Kubeconfigs::load(Some(&folder.path().join("missing")), None, None).unwrap_err();
        assert_eq!(missing.why, "there is no such file");
    }

    #[test]
    fn read_again_they_are_what_is_there_now() {
        let folder = tempfile::tempdir().unwrap();
        let one = write(folder.path(), "one", &["a"]);
        let list = format!("{}:{}", one.display(), folder.path().join("two").display());
        for first in [Kubeconfigs::load(Some(&one), None, None), Kubeconfigs::load(None, Some(&list), None)] {
            let first = first.unwrap();
            write(folder.path(), "one", &["b"]);
            assert_eq!(first.again().unwrap().contexts(), ["b"]);
            write(folder.path(), "one", &["a"]);
        }
        let listed = Kubeconfigs::load(None, Some(&list), None).unwrap();
        write(folder.path(), "two", &["c"]);
        assert_eq!(listed.again().unwrap().contexts(), ["a", "c"]);
    }

    #[test]
    fn the_files_of_a_context_are_beside_its_kubeconfig_and_change_no_other_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let beside = |name: &str| folder.path().join(name);
        let load = |token: &str| {
            let text = format!(
                "apiVersion: v1\nkind: Config\nclusters: [{{name: a, cluster: {{server: 'https://a', certificate-authority: ca.crt}}}}]\n\
                 users: [{{name: a, user: {{client-certificate: /etc/a.crt, client-key: a.key}}}}, {{name: b, user: {{tokenFile: token, token: {token}}}}}]\n\
                 contexts: [{{name: a, context: {{cluster: a, user: a}}}}, {{name: b, context: {{cluster: b, user: b}}}}]\n"
            );
            std::fs::write(&path, text).unwrap();
            Kubeconfigs::load(Some(&path), None, None).unwrap()
        };
        let first = load("one");
        assert_eq!(first.named_files("a"), [beside("ca.crt"), "/etc/a.crt".into(), beside("a.key")]);
        assert_eq!(first.named_files("b"), [""; 0].map(PathBuf::from));
        let digests = |configs: &Kubeconfigs| (configs.digest("a"), configs.digest("b"));
        let before = digests(&first);
        let after = digests(&load("two"));
        assert!(before.0 == after.0 && before.1 != after.1, "a token of the other one");
        std::fs::write(beside("token"), "sesame").unwrap();
        assert_eq!(digests(&load("two")), after, "whoever sends it reads it again");
        std::fs::write(beside("a.key"), "another").unwrap();
        let last = digests(&load("two"));
        assert!(last.0 != after.0 && last.1 == after.1);
    }

    #[test]
    fn a_broken_one_is_named_without_its_content() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken");
        std::fs::write(&path, "users: [{name: a, user: {token: [sesame]}}]\n").unwrap();
        let error = Kubeconfigs::load(Some(&path), None, None).unwrap_err().to_string();
        assert!(error.contains("broken") && !error.contains("sesame"), "{error}");
    }
}
