//! Whole clusters in memory: an API server with its controllers for each, and one world over all of them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak},
    time::Duration,
};

use api_server::{
    ApiServer, User,
    http::{Body, Gate, Hooks, Kubelets, RequestLog, Users},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use clock::Clock;
use futures::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kube::{Client, config::Kubeconfig};
use serde_json::json;
use tokio::{net::TcpListener, task::JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::{
    certificate, controllers,
    daemon::rest,
    error::SandboxError,
    fault::Faults,
    kubelet, node,
    state::Shared,
    timing::Timing,
    way::{self, Way},
    world::{ClusterAccess, Door, World},
};

/// How long an API server waits for a kubelet that does not answer.
const KUBELET_TIMEOUT: Duration = Duration::from_secs(30);

/// What a sandbox begins with.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    /// The clusters' names.
    pub clusters: Vec<String>,
    /// How fast agents and daemons are.
    pub timing: Timing,
    /// The time of day.
    pub clock: Clock,
    /// What chance decides follows from it.
    pub seed: u64,
    /// Whether the clusters have the kinds of the Gateway API and of the Prometheus operator.
    pub custom_kinds: bool,
}

/// Clusters in memory, with all that plays in them. Ends when dropped.
pub struct Sandbox {
    clusters: Vec<Embedded>,
    // Before the tasks, so that it is dropped first.
    world: World,
    clock: Clock,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

struct Embedded {
    name: String,
    server: ApiServer,
    hooks: Hooks,
    log: Arc<RequestLog>,
    listening: Mutex<Option<Listening>>,
}

/// An API server's door to other processes.
struct Listening {
    address: SocketAddr,
    tls: TlsAcceptor,
    /// In PEM.
    certificate: String,
    token: String,
    /// Cancelled to close it; none while it is closed.
    stop: Option<CancellationToken>,
}

impl std::fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sandbox").field("clusters", &self.names()).finish_non_exhaustive()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.cut_everything();
    }
}

impl Sandbox {
    /// In the current runtime; real time or virtual time, as the runtime's clock is.
    ///
    /// # Errors
    /// When two clusters have one name, or a node cannot be made.
    pub async fn start(options: SandboxOptions) -> Result<Self, SandboxError> {
        let SandboxOptions { clusters: names, timing, clock, seed, custom_kinds } = options;
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        let mut clusters: Vec<Embedded> = Vec::new();
        let mut kubelets = Vec::new();
        let mut access = Vec::new();
        for (index, name) in names.into_iter().enumerate() {
            if clusters.iter().any(|cluster| cluster.name == name) {
                return Err(SandboxError::NameTwice { name });
            }
            let options = api_server::Options {
                name: name.clone(),
                clock: clock.clone(),
                seed: seed_of(seed, index),
                custom_kinds,
            };
            let server = ApiServer::new(options);
            let log = Arc::new(RequestLog::new(clock.clone()));
            let kubelet = Arc::new(InProcess { cluster: index, shared: OnceLock::new() });
            let hooks = Hooks {
                kubelets: Some(Arc::clone(&kubelet) as Arc<dyn Kubelets>),
                log: Some(Arc::clone(&log)),
                ..Hooks::default()
            };
            tasks.spawn(controllers::run(server.clone(), clock.clone(), stop.clone()));
            let client =
                way::client(&name, Way::new(server.clone(), Hooks { log: None, ..hooks.clone() }), "kubelet/v1.34.0")?;
            access.push(ClusterAccess {
                name: name.clone(),
                door: Door::Memory(client),
                load_balancer_base: load_balancer_base(index),
            });
            kubelets.push(kubelet);
            clusters.push(Embedded { name, server, hooks, log, listening: Mutex::default() });
        }
        let world = World::start_with(access, timing, clock.clone()).await?;
        for kubelet in kubelets {
            // It is set here only.
            let _ = kubelet.shared.set(Arc::downgrade(world.shared()));
        }
        Ok(Self { clusters, world, clock, stop, tasks })
    }

    fn names(&self) -> Vec<&str> {
        self.clusters.iter().map(|cluster| cluster.name.as_str()).collect()
    }

    fn cluster(&self, name: &str) -> Result<&Embedded, SandboxError> {
        let found = self.clusters.iter().find(|cluster| cluster.name == name);
        found.ok_or_else(|| SandboxError::NoSuchCluster { name: name.to_owned(), known: self.names().join(", ") })
    }

    /// The API server of a cluster, without any HTTP.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn server(&self, cluster: &str) -> Result<&ApiServer, SandboxError> {
        Ok(&self.cluster(cluster)?.server)
    }

    /// A new client with all rights, over connections within the process; `gate` sees each of its requests first.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn client(&self, cluster: &str, gate: Option<Arc<dyn Gate>>) -> Result<Client, SandboxError> {
        let found = self.cluster(cluster)?;
        let way = Way::new(found.server.clone(), Hooks { gate, ..found.hooks.clone() });
        way::client(cluster, way, "sandbox")
    }

    /// A new client that shows this bearer token, and so has the rights of its user; without a user it gets 401.
    ///
    /// # Errors
    /// When there is no such cluster, or the token is no header value.
    pub fn client_of(&self, cluster: &str, token: &str) -> Result<Client, SandboxError> {
        let found = self.cluster(cluster)?;
        way::client_of(cluster, Way::new(found.server.clone(), found.hooks.clone()), "sandbox", token)
    }

    /// A new client like [`Sandbox::client`]'s, with these faults on its way: on its requests and on its connections.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn faulty_client(&self, cluster: &str, faults: &Faults, agent: &str) -> Result<Client, SandboxError> {
        let found = self.cluster(cluster)?;
        let gate: Arc<dyn Gate> = Arc::new(faults.clone());
        let way = Way::new(found.server.clone(), Hooks { gate: Some(gate), ..found.hooks.clone() });
        way::client(cluster, way.through(faults.clone()), agent)
    }

    /// What was asked of a cluster's API server by the clients of this sandbox and over TCP; what agents and
    /// controllers ask is not in it.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn requests(&self, cluster: &str) -> Result<&RequestLog, SandboxError> {
        Ok(&self.cluster(cluster)?.log)
    }

    /// The bearer tokens of a cluster.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn users(&self, cluster: &str) -> Result<&Users, SandboxError> {
        Ok(&self.cluster(cluster)?.hooks.users)
    }

    /// Also listens on loopback TCP (TLS, bearer token), and returns a kubeconfig with one context per cluster,
    /// named as it. Asked again, it returns the same one.
    ///
    /// # Errors
    /// When there is no port to listen on.
    pub async fn listen(&self) -> Result<Kubeconfig, SandboxError> {
        let (mut clusters, mut users, mut contexts) = (Vec::new(), Vec::new(), Vec::new());
        for cluster in &self.clusters {
            if cluster.listening().is_none() {
                cluster.listen(&self.stop).await?;
            }
            let name = &cluster.name;
            if let Some(Listening { address, certificate, token, .. }) = &*cluster.listening() {
                let way = json!({
                    "server": format!("https://{address}"),
                    "certificate-authority-data": BASE64_STANDARD.encode(certificate),
                });
                clusters.push(json!({ "name": name, "cluster": way }));
                users.push(json!({ "name": name, "user": { "token": token } }));
            }
            contexts.push(json!({ "name": name, "context": { "cluster": name, "user": name } }));
        }
        let current = self.clusters.first().map(|cluster| cluster.name.as_str());
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": current,
            "clusters": clusters, "users": users, "contexts": contexts,
        });
        serde_json::from_value(config).map_err(|error| SandboxError::Listen {
            cluster: self.names().join(", "),
            why: format!("no kubeconfig: {error}"),
        })
    }

    /// Where a cluster's API server listens, if it does.
    ///
    /// # Errors
    /// When there is no such cluster.
    pub fn address(&self, cluster: &str) -> Result<Option<SocketAddr>, SandboxError> {
        Ok(self.cluster(cluster)?.listening().as_ref().map(|listening| listening.address))
    }

    /// Closes the TCP door of an API server that listens, as if it were down, or opens it again at the same place.
    ///
    /// # Errors
    /// When there is no such cluster, or its port was taken meanwhile.
    pub async fn set_listening(&self, cluster: &str, open: bool) -> Result<(), SandboxError> {
        let found = self.cluster(cluster)?;
        let (address, tls) = {
            let mut listening = found.listening();
            let Some(listening) = listening.as_mut() else { return Ok(()) };
            match (open, listening.stop.take()) {
                (false, Some(stop)) => stop.cancel(),
                (true, None) => {}
                (_, stop) => {
                    listening.stop = stop;
                    return Ok(());
                }
            }
            (listening.address, listening.tls.clone())
        };
        if !open {
            // The listener is closed by its task; until then the port would still answer.
            while tokio::net::TcpStream::connect(address).await.is_ok() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            return Ok(());
        }
        let stop = self.stop.child_token();
        found.bind(address, tls, stop.clone()).await?;
        if let Some(listening) = found.listening().as_mut() {
            listening.stop = Some(stop);
        }
        Ok(())
    }

    /// Nodes, load balancers and daemons.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.world
    }

    /// The time of day.
    #[must_use]
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Ends everything, and waits for it.
    pub async fn stop(mut self) {
        self.cut_everything();
        self.world.end().await;
        while self.tasks.join_next().await.is_some() {}
        // Connections notice that they are cut when they are polled next.
        tokio::task::yield_now().await;
    }

    fn cut_everything(&self) {
        self.stop.cancel();
        self.world.shared().stop.cancel();
        for cluster in &self.clusters {
            cluster.hooks.connections.cut();
        }
    }
}

impl Embedded {
    fn listening(&self) -> MutexGuard<'_, Option<Listening>> {
        self.listening.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn listen(&self, parent: &CancellationToken) -> Result<(), SandboxError> {
        let failed = |why: String| SandboxError::Listen { cluster: self.name.clone(), why };
        let (tls, certificate) = certificate::make().map_err(failed)?;
        let stop = parent.child_token();
        let address = self.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), tls.clone(), stop.clone()).await?;
        let token = way::secret();
        self.hooks.users.insert(token.clone(), User::admin());
        *self.listening() = Some(Listening { address, tls, certificate, token, stop: Some(stop) });
        Ok(())
    }

    async fn bind(
        &self,
        address: SocketAddr,
        tls: TlsAcceptor,
        stop: CancellationToken,
    ) -> Result<SocketAddr, SandboxError> {
        let failed =
            |error: std::io::Error| SandboxError::Listen { cluster: self.name.clone(), why: error.to_string() };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        // What connects over TCP is cut when that door closes; what is within the process is not.
        let hooks = Hooks { connections: Default::default(), ..self.hooks.clone() };
        let (server, name) = (self.server.clone(), self.name.clone());
        tokio::spawn(async move {
            if let Err(error) = api_server::http::listen(server, listener, Some(tls), hooks, stop).await {
                tracing::warn!(%error, cluster = name, "an API server of the sandbox does not listen any more");
            }
        });
        Ok(address)
    }
}

/// Different clusters draw different numbers.
const fn seed_of(seed: u64, index: usize) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(index as u64 + 1)
}

/// Networks that are nobody's: those for documentation, then some of those between carriers and their customers.
fn load_balancer_base(index: usize) -> Ipv4Addr {
    match index {
        0 => Ipv4Addr::new(203, 0, 113, 10),
        1 => Ipv4Addr::new(198, 51, 100, 10),
        2 => Ipv4Addr::new(192, 0, 2, 10),
        further => Ipv4Addr::new(100, 64, u8::try_from(further % 256).unwrap_or(0), 10),
    }
}

/// The kubelets of a cluster, called without any network.
struct InProcess {
    cluster: usize,
    // The world has clients, and these lead to here.
    shared: OnceLock<Weak<Shared>>,
}

impl Kubelets for InProcess {
    fn call(&self, node: &str, request: http::Request<Incoming>) -> BoxFuture<'static, http::Response<Body>> {
        let shared = self.shared.get().and_then(Weak::upgrade);
        let (node, cluster) = (node.to_owned(), self.cluster);
        Box::pin(async move {
            let refuse = |why: &str| rest::text(http::StatusCode::INTERNAL_SERVER_ERROR, why).map(boxed);
            let Some(shared) = shared else { return refuse("error dialing backend: connection refused") };
            if shared.cluster(cluster).is_some_and(|state| node::machines(state).lost(&node)) {
                tokio::time::sleep(KUBELET_TIMEOUT).await;
                return refuse("error dialing backend: dial tcp: i/o timeout");
            }
            kubelet::answer(&shared, cluster, request).map(boxed)
        })
    }
}

fn boxed(body: http_body_util::Full<hyper::body::Bytes>) -> Body {
    body.map_err(|never| match never {}).boxed_unsync()
}
