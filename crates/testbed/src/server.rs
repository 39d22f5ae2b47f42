//! The three programs of a cluster and their flags. No process is started here.

use std::{
    ffi::OsString,
    net::Ipv4Addr,
    ops::RangeInclusive,
    path::{Path, PathBuf},
};

use crate::error::{Context, Result};

/// Where a cluster keeps its files and listens.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) dir: PathBuf,
    pub(crate) etcd: u16,
    pub(crate) etcd_peer: u16,
    pub(crate) apiserver: u16,
    /// Tells the clusters' Service addresses apart.
    pub(crate) index: u8,
    pub(crate) audit: bool,
    pub(crate) node_ports: RangeInclusive<u16>,
}

/// Audit level Metadata for everybody but the servers themselves, whose chatter would drown the rest.
const AUDIT_POLICY: &str = r#"{
  "apiVersion": "audit.k8s.io/v1",
  "kind": "Policy",
  "omitStages": ["RequestReceived"],
  "rules": [
    { "level": "None", "users": ["system:apiserver", "system:kube-controller-manager"] },
    { "level": "Metadata" }
  ]
}"#;

pub(crate) const ADMIN_TOKEN: &str = "admin-of-this-testbed";
pub(crate) const CONTROLLERS_TOKEN: &str = "controllers-of-this-testbed";

impl Layout {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    pub(crate) fn server(&self) -> String {
        format!("https://127.0.0.1:{}", self.apiserver)
    }

    /// The certificate that the API server makes for itself at its first start.
    pub(crate) fn ca(&self) -> PathBuf {
        self.path("certs").join("apiserver.crt")
    }

    pub(crate) fn audit_log(&self) -> PathBuf {
        self.path("audit.log")
    }

    /// Writes the files that the programs read when they start.
    pub(crate) fn prepare(&self) -> Result<()> {
        std::fs::create_dir_all(&self.dir).context(|| format!("cannot create {}", self.dir.display()))?;
        let write = |name: &str, text: &str| {
            let path = self.path(name);
            std::fs::write(&path, text).context(|| format!("cannot write {}", path.display()))
        };
        let signing_key = rcgen::KeyPair::generate()?;
        write("service-accounts.key", &signing_key.serialize_pem())?;
        write("service-accounts.pub", &signing_key.public_key_pem())?;
        write(
            "tokens.csv",
            &format!(
                "{ADMIN_TOKEN},admin,admin,system:masters\n\
                 {CONTROLLERS_TOKEN},system:kube-controller-manager,controllers,system:masters\n"
            ),
        )?;
        write("audit-policy.json", AUDIT_POLICY)?;
        if self.audit {
            write("audit.log", "")?;
        }
        Ok(())
    }

    pub(crate) fn etcd_arguments(&self) -> Vec<OsString> {
        let client = format!("http://127.0.0.1:{}", self.etcd);
        let peer = format!("http://127.0.0.1:{}", self.etcd_peer);
        let mut flags = Flags::default();
        flags.path("--data-dir", &self.path("etcd"));
        flags.text("--listen-client-urls", &client);
        flags.text("--advertise-client-urls", &client);
        flags.text("--listen-peer-urls", &peer);
        flags.text("--initial-advertise-peer-urls", &peer);
        flags.text("--initial-cluster", &format!("default={peer}"));
        flags.text("--log-level", "error");
        // The data need to survive a killed process, not a power cut.
        flags.bare("--unsafe-no-fsync");
        flags.0
    }

    pub(crate) fn apiserver_arguments(&self) -> Vec<OsString> {
        let mut flags = Flags::default();
        flags.text("--etcd-servers", &format!("http://127.0.0.1:{}", self.etcd));
        flags.text("--bind-address", "127.0.0.1");
        flags.text("--advertise-address", "127.0.0.1");
        flags.text("--secure-port", &self.apiserver.to_string());
        flags.path("--cert-dir", &self.path("certs"));
        flags.path("--token-auth-file", &self.path("tokens.csv"));
        flags.text("--authorization-mode", "RBAC");
        flags.text("--service-account-issuer", "https://kubernetes.default.svc.cluster.local");
        flags.path("--service-account-key-file", &self.path("service-accounts.pub"));
        flags.path("--service-account-signing-key-file", &self.path("service-accounts.key"));
        flags.text("--service-cluster-ip-range", &self.service_range());
        flags.text("--service-node-port-range", &format!("{}-{}", self.node_ports.start(), self.node_ports.end()));
        flags.text("--endpoint-reconciler-type", "none");
        // As every real cluster has it; Pod Security is what refuses privileged pods.
        flags.text("--allow-privileged", "true");
        // Pods run without a kubelet that could mount a token; everything else, PodSecurity above all, stays on.
        flags.text("--disable-admission-plugins", "ServiceAccount");
        if self.audit {
            flags.path("--audit-policy-file", &self.path("audit-policy.json"));
            flags.path("--audit-log-path", &self.audit_log());
            flags.text("--audit-log-mode", "blocking");
        }
        flags.0
    }

    pub(crate) fn controllers_arguments(&self) -> Vec<OsString> {
        let mut flags = Flags::default();
        flags.path("--kubeconfig", &self.path("controllers.kubeconfig"));
        flags.path("--service-account-private-key-file", &self.path("service-accounts.key"));
        flags.path("--root-ca-file", &self.ca());
        flags.text("--leader-elect", "false");
        flags.text("--secure-port", "0");
        // The stand-in nodes send no heartbeat; without these two nobody declares them dead and evicts their pods.
        flags.text("--controllers", "*,-node-lifecycle-controller,-taint-eviction-controller");
        flags.text("--kube-api-qps", "300");
        flags.text("--kube-api-burst", "600");
        flags.0
    }

    /// A range of its own per cluster, so that an address from the wrong cluster is seen as wrong.
    fn service_range(&self) -> String {
        format!("{}/16", Ipv4Addr::new(10, 100 + self.index, 0, 0))
    }
}

#[derive(Default)]
struct Flags(Vec<OsString>);

impl Flags {
    fn text(&mut self, name: &str, value: &str) {
        self.0.push(format!("{name}={value}").into());
    }

    fn path(&mut self, name: &str, value: &Path) {
        let mut flag = OsString::from(format!("{name}="));
        flag.push(value);
        self.0.push(flag);
    }

    fn bare(&mut self, name: &str) {
        self.0.push(name.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clusters_have_service_ranges_of_their_own_and_pod_security_stays_on() {
        let layout = |index| Layout {
            dir: "d".into(),
            etcd: 1,
            etcd_peer: 2,
            apiserver: 3,
            index,
            audit: true,
            node_ports: 30_000..=32_767,
        };
        assert_ne!(layout(0).service_range(), layout(1).service_range());
        let flags = layout(0).apiserver_arguments();
        assert!(flags.contains(&"--disable-admission-plugins=ServiceAccount".into()));
        assert!(flags.contains(&"--service-node-port-range=30000-32767".into()));
        assert!(flags.contains(&"--audit-log-path=d/audit.log".into()));
    }

    #[test]
    fn the_audit_policy_is_json() {
        serde_json::from_str::<serde_json::Value>(AUDIT_POLICY).unwrap();
    }
}
