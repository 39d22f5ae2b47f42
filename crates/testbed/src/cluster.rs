//! One cluster: its processes, and what a test asks of it.

use std::{
    path::Path,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use kube::{Client, config::KubeConfigOptions};

use crate::{
    Options,
    access::{self, Rights},
    audit::{self, AuditEntry, AuditMark},
    binaries::{Binaries, Sources},
    definitions,
    error::{Context, Error, Result},
    kubeconfig::{self, Credential, Entry},
    ports,
    process::Process,
    server::{ADMIN_TOKEN, CONTROLLERS_TOKEN, Layout},
    strict::{self, Verdict},
};

/// Several servers that start at once on two slow cores need their time.
const START: Duration = Duration::from_secs(120);
const AUDIT: Duration = Duration::from_secs(10);

/// A running cluster. Ends when it is dropped.
pub struct Cluster {
    name: String,
    layout: Layout,
    binaries: Binaries,
    server: String,
    ca: std::path::PathBuf,
    config: kube::Config,
    client: Client,
    // In the order in which they have to end.
    controllers: Mutex<Option<Process>>,
    apiserver: Mutex<Option<Process>>,
    etcd: Mutex<Option<Process>>,
    marks: AtomicU64,
}

impl Cluster {
    pub(crate) async fn start(
        name: &str,
        index: usize,
        dir: &Path,
        binaries: &Binaries,
        options: &Options,
    ) -> Result<Self> {
        let layout = Layout {
            dir: dir.join(name),
            etcd: ports::free()?,
            etcd_peer: ports::free()?,
            apiserver: ports::free()?,
            index: u8::try_from(index % 100).unwrap_or(0),
            audit: options.audit,
            node_ports: options.node_ports.clone(),
        };
        layout.prepare()?;
        let server = layout.server();
        let ca = layout.ca();
        let entry = |token: &str| Entry {
            context: name,
            server: &server,
            ca: &ca,
            credential: Credential::Token(token.to_owned()),
        };
        kubeconfig::write(&layout.path("controllers.kubeconfig"), &[entry(CONTROLLERS_TOKEN)])?;

        let mut etcd = Process::start(&binaries.program("etcd"), &layout.etcd_arguments(), &layout.path("etcd.log"))?;
        wait_for_port(name, "etcd", layout.etcd, &mut etcd).await?;
        let mut apiserver = start_apiserver(binaries, &layout)?;
        let config = wait_until_ready(name, &layout, &entry(ADMIN_TOKEN), &mut apiserver).await?;
        let client = client(name, config.clone())?;
        let controllers = if options.controllers {
            let program = binaries.program("kube-controller-manager");
            Some(Process::start(&program, &layout.controllers_arguments(), &layout.path("controllers.log"))?)
        } else {
            None
        };

        Ok(Self {
            name: name.to_owned(),
            layout,
            binaries: binaries.clone(),
            server,
            ca,
            config,
            client,
            controllers: Mutex::new(controllers),
            apiserver: Mutex::new(Some(apiserver)),
            etcd: Mutex::new(Some(etcd)),
            marks: AtomicU64::new(0),
        })
    }

    /// Its name, which is also its context's.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `https://127.0.0.1:PORT`.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A client with all rights.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// What a client with all rights is made from.
    #[must_use]
    pub fn config(&self) -> &kube::Config {
        &self.config
    }

    /// A context named like the cluster, with all rights.
    #[must_use]
    pub fn admin_entry(&self) -> Entry<'_> {
        self.entry(&self.name, Credential::Token(ADMIN_TOKEN.to_owned()))
    }

    /// A context of this name and credential that leads here.
    #[must_use]
    pub fn entry<'a>(&'a self, context: &'a str, credential: Credential) -> Entry<'a> {
        Entry { context, server: &self.server, ca: &self.ca, credential }
    }

    /// Makes a user with these rights. In the audit log it is `system:serviceaccount:testbed-users:NAME`.
    ///
    /// # Errors
    /// When the API server refuses.
    pub async fn user(&self, name: &str, rights: &Rights) -> Result<Credential> {
        let made = access::user(&self.client, name, rights).await.map(Credential::Token);
        made.map_err(self.cannot(format!("make the user `{name}`")))
    }

    /// Installs the kinds of others that a fleet may use: Gateway, HTTPRoute, PodMonitor, PrometheusRule.
    ///
    /// # Errors
    /// When Go cannot download them, or the API server does not take them.
    pub async fn install_definitions(&self, sources: &Sources) -> Result<()> {
        let tools = sources.tools.clone();
        let definitions = tokio::task::spawn_blocking(move || definitions::read(&tools))
            .await
            .map_err(|gone| Error::Io { what: "cannot read the definitions".into(), source: gone.into() })??;
        definitions::install(&self.client, &definitions)
            .await
            .map_err(self.cannot("install the definitions".to_owned()))
    }

    /// What the API server says about these objects when it is asked strictly, without creating them.
    ///
    /// # Errors
    /// When it does not answer; what it says about an object is no error of ours.
    pub async fn dry_run(&self, objects: &[serde_json::Value]) -> Result<Vec<Verdict>> {
        strict::dry_run(&self.client, objects).await.map_err(self.cannot("ask for a dry run".to_owned()))
    }

    fn cannot(&self, what: String) -> impl FnOnce(kube::Error) -> Error {
        let cluster = self.name.clone();
        |source| Error::Request { cluster, what, source: Box::new(source) }
    }

    /// Kills the API server; clients see a refused connection. Its data stay.
    pub fn stop_apiserver(&self) {
        lock(&self.apiserver).take();
    }

    /// Starts the API server on its old port, and returns when it is ready.
    ///
    /// # Errors
    /// When it does not come up.
    pub async fn start_apiserver(&self) -> Result<()> {
        // A second server could not listen on the port.
        self.stop_apiserver();
        let mut process = start_apiserver(&self.binaries, &self.layout)?;
        wait_until_ready(&self.name, &self.layout, &self.admin_entry(), &mut process).await?;
        *lock(&self.apiserver) = Some(process);
        Ok(())
    }

    /// Is the API server meant to be running?
    #[must_use]
    pub fn apiserver_runs(&self) -> bool {
        lock(&self.apiserver).as_mut().is_some_and(|process| process.ended().is_none())
    }

    /// The end of the audit log as it is now.
    ///
    /// # Errors
    /// When the log cannot be read, or the API server does not answer.
    pub async fn audit_mark(&self) -> Result<AuditMark> {
        self.audit_catches_up().await?;
        let log = self.layout.audit_log();
        let length = std::fs::metadata(&log).context(|| format!("cannot read {}", log.display()))?.len();
        Ok(AuditMark(length))
    }

    /// The requests since a mark, ours for the marks left out.
    ///
    /// # Errors
    /// When the log cannot be read, or the API server does not answer.
    pub async fn audit_since(&self, mark: AuditMark) -> Result<Vec<AuditEntry>> {
        self.audit_catches_up().await?;
        let mut entries = audit::read_since(&self.layout.audit_log(), mark)?;
        entries.retain(|entry| !entry.uri.starts_with(MARK));
        Ok(entries)
    }

    /// An entry is written when a response is complete, a little after its client saw it. So one more request is
    /// made, and waited for.
    async fn audit_catches_up(&self) -> Result<()> {
        let log = self.layout.audit_log();
        let begin = std::fs::metadata(&log).context(|| format!("cannot read {}", log.display()))?.len();
        let uri = format!("{MARK}{}", self.marks.fetch_add(1, Ordering::Relaxed));
        let request = http::Request::get(&uri).body(Vec::new()).map_err(kube::Error::HttpError);
        let asked = match request {
            Ok(request) => self.client.request_text(request).await.map(drop),
            Err(invalid) => Err(invalid),
        };
        asked.map_err(self.cannot("mark the audit log".to_owned()))?;
        let begun = Instant::now();
        while !audit::read_since(&log, AuditMark(begin))?.iter().any(|entry| entry.uri == uri) {
            if begun.elapsed() > AUDIT {
                return Err(Error::AuditLate { cluster: self.name.clone(), waited: AUDIT });
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Cluster").field("name", &self.name).field("server", &self.server).finish_non_exhaustive()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for process in [&self.controllers, &self.apiserver, &self.etcd] {
            lock(process).take();
        }
    }
}

const MARK: &str = "/version?testbed-mark=";

fn lock(process: &Mutex<Option<Process>>) -> MutexGuard<'_, Option<Process>> {
    process.lock().unwrap_or_else(PoisonError::into_inner)
}

fn start_apiserver(binaries: &Binaries, layout: &Layout) -> Result<Process> {
    Process::start(&binaries.program("kube-apiserver"), &layout.apiserver_arguments(), &layout.path("apiserver.log"))
}

fn client(name: &str, config: kube::Config) -> Result<Client> {
    Client::try_from(config).map_err(|source| Error::Request {
        cluster: name.to_owned(),
        what: "make a client".into(),
        source: Box::new(source),
    })
}

async fn wait_for_port(cluster: &str, program: &'static str, port: u16, process: &mut Process) -> Result<()> {
    let begun = Instant::now();
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        still_starting(cluster, program, process, begun)?;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Waits for `/readyz`, and before that for the certificate that the server makes for itself.
async fn wait_until_ready(
    cluster: &str,
    layout: &Layout,
    admin: &Entry<'_>,
    process: &mut Process,
) -> Result<kube::Config> {
    let begun = Instant::now();
    wait_for_port(cluster, "kube-apiserver", layout.apiserver, process).await?;
    let unusable = |source| Error::Kubeconfig { cluster: cluster.to_owned(), source: Box::new(source) };
    let text = kubeconfig::to_json(std::slice::from_ref(admin)).to_string();
    let parsed = kube::config::Kubeconfig::from_yaml(&text).map_err(unusable)?;
    let config = kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default()).await.map_err(unusable)?;
    let client = client(cluster, config.clone())?;
    loop {
        let ready = match http::Request::get("/readyz").body(Vec::new()) {
            Ok(request) => client.request_text(request).await.is_ok_and(|text| text == "ok"),
            Err(_) => false,
        };
        if ready {
            return Ok(config);
        }
        still_starting(cluster, "kube-apiserver", process, begun)?;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn still_starting(cluster: &str, program: &'static str, process: &mut Process, begun: Instant) -> Result<()> {
    let why = match process.ended() {
        Some(status) => format!("ended with {status} instead of starting"),
        None if begun.elapsed() > START => format!("is not ready after {START:?}"),
        None => return Ok(()),
    };
    Err(Error::NotReady { cluster: cluster.to_owned(), program, why, log: process.log_tail() })
}
