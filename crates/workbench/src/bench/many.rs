//! The daemon of a very large fleet: how soon it has seen all of it, and what that costs in memory. The clusters are
//! those in memory, behind loopback HTTPS, in a process of their own: stand-ins for thousands of bridges on real API
//! servers would take longer to come up than everything else here.

use std::{
    fmt::Write as _,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use super::{
    daemon::Daemon,
    table::{self, Table},
};
use xtask::shell::{Failure, Result};

/// Of each of the two data clusters. Each is a Service, a StatefulSet and a pod in the daemon's sight.
const BRIDGES: usize = 1_650;

fn fleet() -> String {
    let mut text = String::from(
        "fleet: many\nurl: https://meet.example.org\nrelease: stable-11146-2\nclusters:\n  hq: { context: hq }\n  \
         fra: { context: fra }\n  sin: { context: sin }\ncontrol:\n  cluster: hq\n  xmpp: { expose: load_balancer }\n  \
         shards: { s0: {}, s1: {} }\ndata:\n  pools:\n",
    );
    for cluster in ["fra", "sin"] {
        let _ = writeln!(
            text,
            "    {cluster}: {{ cluster: {cluster}, bridges: {{ replicas: {BRIDGES}, base_port: 30000 }} }}"
        );
    }
    text
}

pub(super) fn measure(jitsictl: &Path, folder: &Path) -> Result<Table<3>> {
    let path = folder.join("many.yaml");
    std::fs::write(&path, fleet()).map_err(Failure::because("cannot write a fleet"))?;
    let kubeconfig = folder.join("many.kubeconfig");
    let _sandbox = Sandbox::start(jitsictl, &path, &kubeconfig)?;
    let mut table = Table::new(["daemon of 3 clusters in memory", "measured", "goal"]);
    let mut daemon = Command::new(jitsictl);
    daemon.args(["daemon", "--listen", "127.0.0.1:0", "--log-format", "json", "--fleet"]).arg(&path);
    let daemon = Daemon::start(daemon.env("KUBECONFIG", &kubeconfig))?;
    let synced = daemon.synced()?;
    let objects = daemon.objects()?;
    let pods = 2 * BRIDGES;
    table.row([
        format!("{objects} objects and {pods} pods: started to synced"),
        table::time(synced),
        "10 s".to_owned(),
    ]);
    // What it makes of them: a round, and everybody asked once.
    std::thread::sleep(std::time::Duration::from_secs(30));
    let (now, peak) = daemon.memory()?;
    table.row(["memory".to_owned(), format!("{now:.1} MB"), "150 MB".to_owned()]);
    table.row(["memory at its peak".to_owned(), format!("{peak:.1} MB"), String::new()]);
    Ok(table)
}

/// Clusters in memory with the fleet in them; they end with this value.
struct Sandbox(Child);

impl Drop for Sandbox {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Sandbox {
    fn start(jitsictl: &Path, fleet: &Path, kubeconfig: &Path) -> Result<Self> {
        let mut command = Command::new(jitsictl);
        command.args(["sandbox", "run", "--stay", "-o", "json", "--kubeconfig"]).arg(kubeconfig).arg(fleet);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let mut sandbox = Self(child.map_err(Failure::because("cannot run the sandbox"))?);
        let mut lines = sandbox.0.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines());
        let is_up = |line: std::io::Result<String>| line.is_ok_and(|line| line.contains(r#""event":"up""#));
        if !lines.any(is_up) {
            return Err(Failure::new("the sandbox ended before it was up"));
        }
        // A full pipe would hold it up.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(sandbox)
    }
}
