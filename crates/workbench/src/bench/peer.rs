//! A Helm chart, measured in the same run with a Helm that `tests/tools/helm` pins.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use testbed::Sources;

use xtask::shell::{self, Failure, Result};

pub(crate) struct Peer {
    helm: PathBuf,
    chart: PathBuf,
    set: Vec<String>,
}

impl Peer {
    /// Builds Helm (minutes at the first time; Go's own cache makes it quick after that).
    pub(crate) fn build(chart: &Path, set: &[String]) -> Result<Self> {
        let sources = Sources::of_this_machine();
        let helm = sources.cache.join("helm");
        let mut build = Command::new("go");
        build.current_dir(sources.tools.join("helm")).args(["build", "-trimpath", "-o"]).arg(&helm);
        shell::run(build.arg("helm.sh/helm/v4/cmd/helm"))?;
        let chart = std::path::absolute(chart).map_err(Failure::because("cannot find the chart"))?;
        Ok(Self { helm, chart, set: set.to_vec() })
    }

    /// `helm template`, with these values.
    pub(crate) fn template(&self, set: &[String]) -> Command {
        let mut command = Command::new(&self.helm);
        command.args(["template", "peer"]).arg(&self.chart);
        command.args(set.iter().flat_map(|value| ["--set", value]));
        command
    }

    /// `helm install` or `helm upgrade`.
    pub(crate) fn release(&self, verb: &str, kubeconfig: &Path, context: &str) -> Command {
        let mut command = Command::new(&self.helm);
        command.args([verb, "peer"]).arg(&self.chart);
        command.arg("--kubeconfig").arg(kubeconfig).args(["--kube-context", context]);
        command.args(self.set.iter().flat_map(|value| ["--set", value]));
        command
    }
}
