//! Clusters in memory that stay: with a kubeconfig for kubectl and for every other verb, until somebody ends them.

use std::{
    fs::{self, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use fleet::{Access, Fleet};
use kube::config::Kubeconfig;
use tokio::signal::unix::{SignalKind, signal};

use super::ground::{Ground, failed};
use crate::{Error, Notice, context::Context};

/// Listens, writes a kubeconfig, tells of it, and stays until Ctrl-C. The file goes then.
pub(super) async fn stay(context: &Context, ground: &Ground, fleet: &Fleet, file: &Path) -> Result<(), Error> {
    let listening = ground.sandbox.listen().await.map_err(|error| failed(&error))?;
    let kubeconfig = Written::create(file_of(context, fleet), &named(&listening, ground, fleet))?;
    let own = fleet.clusters.iter().filter_map(|(name, cluster)| match &cluster.access {
        Access::Context { kubeconfig: None, .. } => None,
        Access::Context { .. } | Access::InCluster => Some(name),
    });
    for name in own {
        context.printer.warning(&Notice::new(
            format!(
                "cluster {name} does not take its context from --kubeconfig: other verbs will not find the sandbox's"
            ),
            "run them with a copy of the fleet file in which it has a plain `context`",
        ));
    }
    if context.printer.is_json() {
        context.printer.json_line(&serde_json::json!({ "event": "up", "kubeconfig": kubeconfig.0 }));
    } else {
        context.printer.line(&instructions(&kubeconfig.0, fleet, file));
    }
    until_told_to_end()
        .await
        .map_err(|error| Error::failed(format!("cannot wait for Ctrl-C: {error}"), "look at this process's limits"))
}

fn instructions(kubeconfig: &Path, fleet: &Fleet, file: &Path) -> String {
    let control = fleet.clusters.get(&fleet.control.cluster);
    let namespace = control.map_or("default", |cluster| cluster.namespace.as_str());
    let context = control.map_or_else(
        || fleet.control.cluster.to_string(),
        |cluster| context_of(&cluster.access, fleet.control.cluster.as_str()).to_owned(),
    );
    format!(
        "\nthe clusters stay up until Ctrl-C; in another terminal:\n  \
         export KUBECONFIG={}\n  \
         kubectl --context {context} --namespace {namespace} get pods,svc,endpointslices\n  \
         jitsictl status --fleet {}",
        kubeconfig.display(),
        file.display()
    )
}

/// Where the kubeconfig goes: where `--kubeconfig` says, else into the folder for such files.
fn file_of(context: &Context, fleet: &Fleet) -> PathBuf {
    let name = || format!("jitsictl-sandbox-{}-{}.yaml", fleet.name, std::process::id());
    context.global.kubeconfig.clone().unwrap_or_else(|| std::env::temp_dir().join(name()))
}

fn context_of<'a>(access: &'a Access, name: &'a str) -> &'a str {
    match access {
        Access::Context { context, .. } => context,
        Access::InCluster => name,
    }
}

/// The same clusters under the names of the contexts that the fleet file uses.
fn named(listening: &Kubeconfig, ground: &Ground, fleet: &Fleet) -> Kubeconfig {
    let mut named = Kubeconfig { contexts: Vec::new(), current_context: None, ..listening.clone() };
    for (name, cluster) in &fleet.clusters {
        let here = ground.name_of(fleet, name);
        let Some(found) = listening.contexts.iter().find(|context| context.name == here) else { continue };
        let context = context_of(&cluster.access, name.as_str());
        if named.contexts.iter().any(|known| known.name == context) {
            continue;
        }
        let mut found = found.clone();
        context.clone_into(&mut found.name);
        if let Some(context) = &mut found.context {
            context.namespace = Some(cluster.namespace.clone());
        }
        if named.current_context.is_none() || *name == fleet.control.cluster {
            named.current_context = Some(found.name.clone());
        }
        named.contexts.push(found);
    }
    named
}

/// A file for its owner alone, which goes when we go.
struct Written(PathBuf);

impl Written {
    fn create(path: PathBuf, kubeconfig: &Kubeconfig) -> Result<Self, Error> {
        let failed = |error: io::Error| {
            let message = format!("cannot write the kubeconfig {}: {error}", path.display());
            Error::usage(message, "name a file that does not exist yet with --kubeconfig")
        };
        // JSON is YAML too.
        let text = serde_json::to_vec_pretty(kubeconfig).map_err(|error| failed(io::Error::other(error)))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
        let written = Self(path.clone());
        file.write_all(&text).map_err(failed)?;
        Ok(written)
    }
}

impl Drop for Written {
    fn drop(&mut self) {
        // Somebody may have removed it already.
        let _ = fs::remove_file(&self.0);
    }
}

async fn until_told_to_end() -> io::Result<()> {
    let mut terminated = signal(SignalKind::terminate())?;
    tokio::select! {
        biased;
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminated.recv() => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_kubeconfig_is_for_its_owner_goes_with_us_and_replaces_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config");
        let written = Written::create(path.clone(), &Kubeconfig::default());
        assert!(written.is_ok());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(matches!(Written::create(path.clone(), &Kubeconfig::default()), Err(Error::Usage(_))));
        assert!(path.exists());
        drop(written);
        assert!(!path.exists());
    }
}
