//! Where etcd, kube-apiserver and kube-controller-manager come from.
//!
//! Either from `KUBEBUILDER_ASSETS`, the folder that the Kubernetes world agreed on, or built by Go from the module
//! in `tests/tools`, whose go.sum pins every byte. What was built is kept outside the checkout under the hash of that
//! go.sum, so that a fresh clone on the same machine does not build again.

use std::{
    ffi::OsString,
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use crate::error::{Context, Error, Result};

const NAMES: [&str; 3] = ["etcd", "kube-apiserver", "kube-controller-manager"];

const KUBERNETES: &str = "k8s.io/kubernetes";
const PACKAGES: [&str; 3] = [
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "go.etcd.io/etcd/server/v3",
];

/// The places to look at.
#[derive(Debug, Clone)]
pub struct Sources {
    /// A folder with ready-made binaries; nothing is built when it is given.
    pub assets: Option<PathBuf>,
    /// Where built binaries are kept.
    pub cache: PathBuf,
    /// The folder of the Go module that they are built from.
    pub tools: PathBuf,
}

impl Sources {
    /// What the environment says: `KUBEBUILDER_ASSETS`, and the user's cache folder. (The one place of this crate
    /// that reads the environment, so that every test finds the same servers.)
    #[must_use]
    pub fn of_this_machine() -> Self {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let cache = folder("XDG_CACHE_HOME")
            .or_else(|| folder("HOME").map(|home| home.join(".cache")))
            .unwrap_or_else(std::env::temp_dir);
        Self {
            assets: folder("KUBEBUILDER_ASSETS"),
            cache: cache.join("jitsictl"),
            tools: Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/tools"),
        }
    }
}

/// A folder that has all three programs.
#[derive(Debug, Clone)]
pub struct Binaries {
    folder: PathBuf,
}

impl Binaries {
    /// Finds the programs; nothing when they have to be built first.
    ///
    /// # Errors
    /// When the assets folder is incomplete, or there is no Go module to build from.
    pub fn locate(sources: &Sources) -> Result<Option<Self>> {
        if let Some(folder) = &sources.assets {
            return match missing(folder) {
                None => Ok(Some(Self { folder: folder.clone() })),
                Some(binary) => Err(Error::Incomplete { folder: folder.clone(), binary, needed: &NAMES }),
            };
        }
        let folder = cached_folder(sources)?;
        Ok(missing(&folder).is_none().then_some(Self { folder }))
    }

    /// Finds the programs, or builds them (minutes at the first time) when they are nowhere. Blocks.
    ///
    /// # Errors
    /// When Go is missing or its build fails, or the assets folder is incomplete.
    pub fn locate_or_build(sources: &Sources) -> Result<Self> {
        if let Some(there) = Self::locate(sources)? {
            return Ok(there);
        }
        let folder = cached_folder(sources)?;
        build(sources, &folder)?;
        Ok(Self { folder })
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }
}

fn missing(folder: &Path) -> Option<&'static str> {
    NAMES.into_iter().find(|name| !folder.join(name).is_file())
}

fn cached_folder(sources: &Sources) -> Result<PathBuf> {
    let sums = sources.tools.join("go.sum");
    let bytes = std::fs::read(&sums).context(|| format!("cannot read {}", sums.display()))?;
    let hash: String = Sha256::digest(&bytes).iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(sources.cache.join(format!("kubernetes-{hash}")))
}

fn build(sources: &Sources, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(&sources.cache).context(|| format!("cannot create {}", sources.cache.display()))?;
    // Test programs run side by side: one builds, the others wait and find what it built.
    let lock_path = sources.cache.join("build.lock");
    let lock = File::create(&lock_path).context(|| format!("cannot create {}", lock_path.display()))?;
    lock.lock().context(|| format!("cannot lock {}", lock_path.display()))?;
    if missing(folder).is_none() {
        return Ok(());
    }

    let version = kubernetes_version(&sources.tools)?;
    let beside = tempfile::tempdir_in(&sources.cache)
        .context(|| format!("cannot create a folder in {}", sources.cache.display()))?;
    let mut out = OsString::from(beside.path());
    out.push("/");
    let output = Command::new("go")
        .current_dir(&sources.tools)
        .args(["build", "-trimpath", "-ldflags", &link_flags(&version), "-o"])
        .arg(out)
        .args(PACKAGES)
        .stdin(Stdio::null())
        .output()
        .map_err(|source| Error::NoGo { source })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        return Err(Error::Build { tools: sources.tools.clone(), status: output.status, tail });
    }
    // Go names a program after its folder, and etcd's is called `server`.
    let etcd = beside.path().join("etcd");
    std::fs::rename(beside.path().join("server"), &etcd).context(|| format!("cannot create {}", etcd.display()))?;

    if folder.exists() {
        std::fs::remove_dir_all(folder).context(|| format!("cannot replace {}", folder.display()))?;
    }
    let built = beside.keep();
    std::fs::rename(&built, folder).context(|| format!("cannot create {}", folder.display()))
}

/// The server reports what it is told at link time, and v0.0.0 otherwise.
fn link_flags(version: &str) -> String {
    let mut numbers = version.trim_start_matches('v').split('.');
    let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
    let package = "k8s.io/component-base/version";
    format!("-s -w -X {package}.gitVersion={version} -X {package}.gitMajor={major} -X {package}.gitMinor={minor}")
}

fn kubernetes_version(tools: &Path) -> Result<String> {
    let file = tools.join("go.mod");
    let text = std::fs::read_to_string(&file).context(|| format!("cannot read {}", file.display()))?;
    version_in(&text).map(str::to_owned).ok_or(Error::NoVersion { file, module: KUBERNETES })
}

fn version_in(go_mod: &str) -> Option<&str> {
    go_mod.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip_while(|word| *word == "require");
        (words.next() == Some(KUBERNETES)).then(|| words.next()).flatten().filter(|word| word.starts_with('v'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_read_from_go_mod() {
        assert_eq!(version_in("require (\n\tk8s.io/kubernetes v1.34.3 // indirect\n)"), Some("v1.34.3"));
        assert_eq!(version_in("require k8s.io/kubernetes v1.35.0"), Some("v1.35.0"));
        assert_eq!(version_in("tool (\n\tk8s.io/kubernetes/cmd/kube-apiserver\n)"), None);
        assert!(kubernetes_version(&Sources::of_this_machine().tools).unwrap().starts_with("v1."));
    }

    #[test]
    fn the_server_will_say_its_version() {
        let flags = link_flags("v1.34.3");
        assert!(flags.contains("version.gitVersion=v1.34.3"));
        assert!(flags.contains("version.gitMajor=1 "));
        assert!(flags.ends_with("version.gitMinor=34"));
    }

    #[test]
    fn an_incomplete_assets_folder_is_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("etcd"), "").unwrap();
        let sources = Sources { assets: Some(dir.path().into()), ..Sources::of_this_machine() };
        let error = Binaries::locate_or_build(&sources).unwrap_err().to_string();
        assert!(error.contains("has no `kube-apiserver`"), "{error}");
        assert!(error.contains("KUBEBUILDER_ASSETS"), "{error}");
    }

    #[test]
    fn complete_folders_are_used_without_a_build() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("go.sum"), "some hash").unwrap();
        let sources = Sources { assets: None, cache: dir.path().into(), tools: dir.path().into() };
        let folder = cached_folder(&sources).unwrap();
        std::fs::create_dir(&folder).unwrap();
        for name in NAMES {
            std::fs::write(folder.join(name), "").unwrap();
        }
        assert_eq!(Binaries::locate_or_build(&sources).unwrap().folder(), folder);
    }
}
