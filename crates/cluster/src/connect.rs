//! Connecting: one client per cluster, built from a kubeconfig's context or from the pod's own service account, or given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fleet::{Access, ClusterName};
use kube::Client;
use kube::config::{AuthInfo, KubeConfigOptions};
use secrecy::ExposeSecret as _;
use tokio::sync::{Semaphore, watch};

use crate::client;
use crate::error::auth_failure;
use crate::lifetime::Expiry;
use crate::login::{Issue, Login, Logins, Program};
use crate::stranger::Strangers;
use crate::tally::{Tallies, Tally};
use crate::wire::Breaker;
use crate::{ClusterError, ErrorKind, Fence, Kubeconfigs, Lifetime, Proxies, RunKey};

/// How long things may take, and how many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Establishing a connection.
    pub connect: Duration,
    /// A request about one object, from the moment when it is sent.
    pub request: Duration,
    /// One page of a LIST.
    pub list: Duration,
    /// A program that yields credentials.
    pub credentials: Duration,
    /// Opening a port-forward.
    pub stream: Duration,
    /// Requests on their way at once.
    pub in_flight: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            request: Duration::from_secs(10),
            list: Duration::from_secs(30),
            credentials: Duration::from_secs(30),
            stream: Duration::from_secs(10),
            in_flight: 16,
        }
    }
}

/// What is the same for all clusters of a run.
#[derive(Debug, Clone)]
pub struct Options {
    /// `jitsictl/<version>`.
    pub user_agent: String,
    /// Deadlines.
    pub limits: Limits,
    /// The runner's proxy settings.
    pub proxies: Proxies,
    /// Hashes secret values for comparison; the same for all clusters, so that copies can be compared.
    pub run_key: RunKey,
    /// Where requests are counted.
    pub tallies: Tallies,
    /// What programs that yield credentials gave.
    pub logins: Logins,
}

/// Where clients come from.
#[derive(Clone)]
pub enum Connector {
    /// Each cluster's context in these files.
    Kubeconfigs(Box<Kubeconfigs>),
    /// These, whatever the fleet file says about contexts: for clusters in memory.
    Given(BTreeMap<ClusterName, Client>),
}

impl Connector {
    /// The same, with kubeconfigs as they are now. What can't be read now stays as it was.
    #[must_use]
    pub fn renewed(&self) -> Self {
        match self {
            Self::Kubeconfigs(kubeconfigs) => match kubeconfigs.again() {
                Ok(again) => Self::Kubeconfigs(Box::new(again)),
                Err(error) => {
                    tracing::warn!(%error, "a kubeconfig can't be read: it stays in force as it was");
                    self.clone()
                }
            },
            Self::Given(_) => self.clone(),
        }
    }

    /// Makes a client, or takes the one that was given. No request is sent yet.
    ///
    /// # Errors
    /// As [`Cluster::connect`]; and when no client was given for the cluster.
    pub async fn connect(
        &self,
        name: &ClusterName,
        cluster: &fleet::Cluster,
        options: &Options,
    ) -> Result<Cluster, ClusterError> {
        match self {
            Self::Kubeconfigs(kubeconfigs) => Cluster::connect(name, cluster, kubeconfigs, options).await,
            Self::Given(clients) => match clients.get(name) {
                Some(client) => Ok(Cluster::from_client(name, &cluster.namespace, client.clone(), options)),
                None => {
                    let known = clients.keys().map(ToString::to_string).collect();
                    Err(ClusterError::new(name, ErrorKind::UnknownContext { context: name.to_string(), known }))
                }
            },
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Kubeconfigs(kubeconfigs) => f.debug_tuple("Kubeconfigs").field(&kubeconfigs.contexts()).finish(),
            Self::Given(clients) => f.debug_tuple("Given").field(&clients.keys()).finish(),
        }
    }
}

/// What a program gave to open a cluster with.
struct Issued {
    login: Arc<Login>,
    /// What the connection was made with. Its token may be another one by now; its certificate is not.
    first: Issue,
}

/// A cluster that we can speak with: its namespace is the fleet's there.
#[derive(Clone)]
pub struct Cluster(pub(crate) Arc<Inner>, pub(crate) Option<Fence>);

pub(crate) struct Inner {
    name: ClusterName,
    namespace: String,
    address: String,
    expiry: Expiry,
    pub(crate) client: Client,
    issued: Option<Issued>,
    pub(crate) limits: Limits,
    pub(crate) run_key: RunKey,
    pub(crate) turns: Semaphore,
    pub(crate) breaker: Breaker,
    pub(crate) tally: Arc<Tally>,
    /// How many requests were answered with 401.
    pub(crate) refused: watch::Sender<u64>,
    pub(crate) strangers: Strangers,
}

impl Cluster {
    /// Makes a client. No request is sent yet; a credentials program is run if the context has one.
    ///
    /// # Errors
    /// When the context is unknown, or the kubeconfig or the credentials can't be used.
    pub async fn connect(
        name: &ClusterName,
        cluster: &fleet::Cluster,
        kubeconfigs: &Kubeconfigs,
        options: &Options,
    ) -> Result<Self, ClusterError> {
        let fail = |kind| ClusterError::new(name, kind);
        let mut config = match &cluster.access {
            Access::InCluster => {
                kube::Config::incluster().map_err(|error| fail(ErrorKind::Kubeconfig(error.to_string())))?
            }
            Access::Context { context, kubeconfig: None } => {
                config_of(kubeconfigs, context, options).await.map_err(fail)?
            }
            Access::Context { context, kubeconfig: Some(path) } => {
                let own = Kubeconfigs::load(Some(path), None, None)
                    .map_err(|error| fail(ErrorKind::Kubeconfig(error.to_string())))?;
                config_of(&own, context, options).await.map_err(fail)?
            }
        };
        config.connect_timeout = Some(options.limits.connect);
        config.default_retry = false;
        let agent = http::HeaderValue::from_str(&options.user_agent)
            .map_err(|_| fail(ErrorKind::Kubeconfig("the user agent is no header value".to_owned())))?;
        config.headers.push((http::header::USER_AGENT, agent));
        let address = address_of(&config.cluster_url);
        let expiry = match &cluster.access {
            // The node agent renews the token that it mounted, and kube-rs reads it again.
            Access::InCluster => Expiry::default(),
            Access::Context { .. } => Expiry::of(&config.auth_info),
        };
        let issued = match program_of(&config.auth_info, options.limits.credentials).map_err(fail)? {
            Some(program) => {
                let login = options.logins.of(name, program);
                let first = login.ready().await.map_err(fail)?;
                Some(Issued { login, first })
            }
            None => None,
        };
        if let Some(Issued { first, .. }) = &issued {
            config.auth_info.exec = None;
            if let Some(certificate) = &first.credential.certificate {
                config.auth_info.client_certificate_data = Some(STANDARD.encode(&certificate.pem));
                config.auth_info.client_key_data = Some(STANDARD.encode(certificate.key.expose_secret()).into());
            }
        }
        let by_token = issued.as_ref().filter(|issued| issued.is_by_token());
        let client = client::of(config, by_token.map(|issued| Arc::clone(&issued.login)));
        let client = client.map_err(|error| fail(unusable(&error)))?;
        Ok(Self::with_client(name, &cluster.namespace, client, issued, address, expiry, options))
    }

    /// Speaks by this client, for clusters that are no servers on a network.
    #[must_use]
    pub fn from_client(name: &ClusterName, namespace: &str, client: Client, options: &Options) -> Self {
        Self::with_client(name, namespace, client, None, format!("cluster {name}"), Expiry::default(), options)
    }

    fn with_client(
        name: &ClusterName,
        namespace: &str,
        client: Client,
        issued: Option<Issued>,
        address: String,
        expiry: Expiry,
        options: &Options,
    ) -> Self {
        let inner = Inner {
            name: name.clone(),
            namespace: namespace.to_owned(),
            address,
            expiry,
            client,
            issued,
            limits: options.limits,
            run_key: options.run_key.clone(),
            turns: Semaphore::new(options.limits.in_flight),
            breaker: Breaker::default(),
            tally: options.tallies.of(name),
            refused: watch::Sender::new(0),
            strangers: Strangers::default(),
        };
        Self(Arc::new(inner), None)
    }

    /// Our name for it.
    #[must_use]
    pub fn name(&self) -> &ClusterName {
        &self.0.name
    }

    /// The fleet's namespace there.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// `host:port` of its API server.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// When the certificate ends that a credentials program gave: it gives another to those who connect anew, in the last
    /// minute. (Another token reaches requests without that.)
    #[must_use]
    pub fn connect_anew_by(&self) -> Option<jiff::Timestamp> {
        let first = &self.0.issued.as_ref()?.first.credential;
        first.certificate.as_ref().and(first.ends)
    }

    /// Has credentials at hand, and says which those are. A program that yields them may have to run, which takes its own
    /// time, not a request's.
    pub(crate) async fn credentials(&self) -> Result<u64, ErrorKind> {
        match &self.0.issued {
            Some(issued) if issued.is_by_token() => {
                let Issue { number, credential } = issued.login.ready().await?;
                match &credential.token {
                    Some(_) => Ok(number),
                    None => Err(ErrorKind::Credentials("the credentials program gives no tokens any more".to_owned())),
                }
            }
            Some(issued) => Ok(issued.first.number),
            None => Ok(0),
        }
    }

    /// These credentials were answered with 401. Whether there are others for the next request of this connection.
    pub(crate) fn credentials_refused(&self, number: u64) -> bool {
        let issued = self.0.issued.as_ref();
        let others = issued.is_some_and(|issued| issued.login.refused(number) && issued.is_by_token());
        if !others {
            self.0.refused.send_modify(|times| *times += 1);
        }
        others
    }

    /// How many requests of this connection, of whatever kind, were answered with 401: our credentials are not accepted
    /// any more, while watches that were begun before may go on for minutes.
    #[must_use]
    pub fn refused(&self) -> watch::Receiver<u64> {
        self.0.refused.subscribe()
    }

    /// How long the kubeconfig's own token or certificate is good for, where one of them ends.
    #[must_use]
    pub fn lifetime(&self) -> Option<Lifetime> {
        self.0.expiry.now()
    }
}

impl Issued {
    fn is_by_token(&self) -> bool {
        self.first.credential.token.is_some()
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Inner { name, namespace, address, .. } = &*self.0;
        f.debug_struct("Cluster")
            .field("name", name)
            .field("namespace", namespace)
            .field("address", address)
            .finish_non_exhaustive()
    }
}

async fn config_of(kubeconfigs: &Kubeconfigs, context: &str, options: &Options) -> Result<kube::Config, ErrorKind> {
    let known = kubeconfigs.contexts();
    if !known.iter().any(|name| name == context) {
        return Err(ErrorKind::UnknownContext { context: context.to_owned(), known });
    }
    let merged = kubeconfigs.merged();
    let named = KubeConfigOptions { context: Some(context.to_owned()), cluster: None, user: None };
    let mut config = kube::Config::from_custom_kubeconfig(merged.clone(), &named)
        .await
        .map_err(|error| ErrorKind::Kubeconfig(format!("context `{context}`: {error}")))?;

    let cluster = merged.contexts.iter().find(|named| named.name == context).and_then(|named| named.context.as_ref());
    let of_kubeconfig = merged
        .clusters
        .iter()
        .find(|named| cluster.is_some_and(|context| context.cluster == named.name))
        .and_then(|named| named.cluster.as_ref()?.proxy_url.as_deref())
        .filter(|proxy| !proxy.is_empty());
    config.proxy_url = of_kubeconfig
        .or_else(|| options.proxies.for_server(&config.cluster_url))
        .map(str::parse)
        .transpose()
        .map_err(|_| ErrorKind::Kubeconfig(format!("context `{context}`: its proxy is no URL")))?;
    Ok(config)
}

/// The program that yields the credentials, if it is one that does. What stands in the kubeconfig itself goes before.
fn program_of(credentials: &AuthInfo, limit: Duration) -> Result<Option<Program>, ErrorKind> {
    let AuthInfo { username, password, token, token_file, auth_provider, exec, .. } = credentials;
    if auth_provider.as_ref().is_some_and(|provider| provider.config.contains_key("cmd-path")) {
        let why = "`auth-provider` with a program is not supported, nor is it by kubectl since 1.26: use `exec`";
        return Err(ErrorKind::Kubeconfig(why.to_owned()));
    }
    let own = username.is_some() && password.is_some() || token.is_some() || token_file.is_some();
    let exec = exec.as_ref().filter(|_| !own && auth_provider.is_none());
    exec.map(|exec| Program::of(exec, limit)).transpose().map_err(ErrorKind::Credentials)
}

fn unusable(error: &kube::Error) -> ErrorKind {
    match error {
        kube::Error::Auth(auth) => ErrorKind::Credentials(auth_failure(auth)),
        other => ErrorKind::Kubeconfig(other.to_string()),
    }
}

fn address_of(server: &http::Uri) -> String {
    let host = server.host().unwrap_or("?");
    let port = server.port_u16().unwrap_or(if server.scheme_str() == Some("http") { 80 } else { 443 });
    format!("{host}:{port}")
}
