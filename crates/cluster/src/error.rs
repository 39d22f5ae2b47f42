//! What can go wrong between us and a cluster: what, where, why, and what to do next.

use std::fmt;
use std::time::Duration;

use fleet::ClusterName;
use kube::client::AuthError;
use manifest::{Kind, ObjectRef};

/// A request, or a connection, that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterError {
    /// Which cluster.
    pub cluster: ClusterName,
    /// The object that it was about, if it was about one.
    pub object: Option<Box<ObjectRef>>,
    /// What happened.
    pub kind: ErrorKind,
}

/// What happened. No variant carries credentials, or a body that might hold a Secret's bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrorKind {
    /// The kubeconfig has no such context.
    UnknownContext {
        /// What was asked for.
        context: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The kubeconfig can't be used.
    Kubeconfig(String),
    /// The program that yields credentials failed, or took too long.
    Credentials(String),
    /// 401: who we are is not accepted, or not any more.
    Unauthorized,
    /// 403 by the authorizer.
    Forbidden {
        /// get, list, patch, …
        verb: String,
        /// Plural, with its subresource.
        resource: String,
    },
    /// No connection, or it broke.
    Unreachable {
        /// `host:port`.
        address: String,
        /// Why.
        why: String,
    },
    /// No answer in time.
    Timeout {
        /// `host:port`.
        address: String,
        /// How long we waited.
        after: Duration,
    },
    /// The cluster does not know this kind: its CRD is not installed.
    KindMissing(Kind),
    /// The namespace does not exist.
    NamespaceMissing(String),
    /// The namespace is being deleted.
    NamespaceTerminating(String),
    /// 404 on the object itself.
    NotFound,
    /// An object of that name exists and is not this fleet's.
    Foreign {
        /// Whose it seems to be: its managers, or another fleet.
        owner: String,
    },
    /// Somebody else holds fields that we need, and it is neither a person nor a controller that owns them by design.
    Contested(Vec<FieldConflict>),
    /// Fields differ that can't be changed on an existing object.
    Immutable {
        /// As JSON pointers.
        fields: Vec<String>,
        /// What to do about it.
        way_out: &'static str,
    },
    /// Another Service has the node port.
    NodePortTaken {
        /// Which port, if the server said.
        port: Option<u16>,
        /// `namespace/name`, if Services can be listed.
        by: Option<String>,
    },
    /// A quota of the namespace is used up.
    Quota(String),
    /// Pod Security admission refuses.
    PodSecurity(String),
    /// An admission webhook or plugin refuses.
    Admission(String),
    /// The server calls the object invalid.
    Invalid(String),
    /// It changed since it was read, or it is another object of that name.
    Changed,
    /// Creating it: it exists.
    AlreadyExists,
    /// It exceeds what the server takes.
    TooLarge,
    /// The server asks us to come back later.
    Busy {
        /// When, if it said.
        retry_after: Option<Duration>,
    },
    /// Any other answer.
    Server {
        /// HTTP status.
        code: u16,
        /// The server's reason; of what it does not have, what that is.
        reason: String,
    },
    /// An answer that makes no sense.
    Garbled(String),
    /// A Secret has to hold a value that nobody has.
    SecretMissing(String),
    /// It was not sent: it can't be proven that nobody else leads the plane by now.
    Fenced {
        /// What is missing of the proof.
        why: String,
    },
}

/// A field that somebody else manages.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FieldConflict {
    /// The other field manager.
    pub manager: String,
    /// The subresource by which it writes, such as `scale`.
    pub subresource: Option<String>,
    /// The field, as the server writes it: `.spec.replicas`.
    pub field: String,
}

impl ClusterError {
    pub(crate) fn new(cluster: &ClusterName, kind: ErrorKind) -> Self {
        Self { cluster: cluster.clone(), object: None, kind }
    }

    /// Whether the cluster could not be asked at all: nothing is known about anything in it.
    #[must_use]
    pub const fn is_unreachable(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::Unreachable { .. }
                | ErrorKind::Timeout { .. }
                | ErrorKind::Unauthorized
                | ErrorKind::Credentials(_)
                | ErrorKind::Kubeconfig(_)
                | ErrorKind::UnknownContext { .. }
        )
    }

    /// Whether the same request may succeed a little later, with nobody doing anything.
    #[must_use]
    pub const fn is_transient(&self) -> bool {
        match &self.kind {
            ErrorKind::Unreachable { .. }
            | ErrorKind::Timeout { .. }
            | ErrorKind::Busy { .. }
            | ErrorKind::Fenced { .. }
            | ErrorKind::NamespaceTerminating(_) => true,
            // What a server does not have, it does not have a little later.
            ErrorKind::Server { code, .. } => *code >= 500 && *code != 501,
            _ => false,
        }
    }

    /// The next thing to do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let cluster = &self.cluster;
        let namespace = self.object.as_ref().map_or("", |object| object.namespace.as_str());
        Some(match &self.kind {
            ErrorKind::UnknownContext { known, .. } if known.is_empty() => {
                "no kubeconfig was found: pass --kubeconfig PATH or set KUBECONFIG".to_owned()
            }
            ErrorKind::UnknownContext { known, .. } => format!("contexts there are: {}", known.join(", ")),
            ErrorKind::Kubeconfig(_) => "try `kubectl config view` with the same kubeconfig".to_owned(),
            ErrorKind::Credentials(_) => {
                format!("run the login command of {cluster}'s kubeconfig by hand, then try again")
            }
            ErrorKind::Unauthorized => format!("the credentials of {cluster} have expired or are wrong: log in again"),
            ErrorKind::Forbidden { verb, resource } => {
                let place = if namespace.is_empty() { String::new() } else { format!(" -n {namespace}") };
                format!("grant `{verb}` on `{resource}`: kubectl auth can-i {verb} {resource}{place}")
            }
            ErrorKind::Unreachable { .. } | ErrorKind::Timeout { .. } => {
                "nothing was changed there; the other clusters are not affected. Try again when it answers".to_owned()
            }
            ErrorKind::KindMissing(kind) => {
                format!("install the CRD of {kind} ({}) in {cluster}, or switch off what needs it", kind.api_version())
            }
            ErrorKind::NamespaceMissing(name) => {
                format!("pass --create-namespaces, or run `kubectl create namespace {name}` in {cluster}")
            }
            ErrorKind::NamespaceTerminating(_) => "wait until it is gone, then apply again".to_owned(),
            ErrorKind::Foreign { .. } => {
                "delete or rename it, or choose another fleet name or namespace; it is never taken over".to_owned()
            }
            ErrorKind::Contested(_) => {
                "stop the other manager from writing these fields, or leave them out of the fleet file".to_owned()
            }
            ErrorKind::Immutable { way_out, .. } => (*way_out).to_owned(),
            ErrorKind::NodePortTaken { by: None, .. } => {
                "choose another base port in the fleet file; if no Service has it, a create that was cut off left it so, and the API server frees it in some minutes".to_owned()
            }
            ErrorKind::NodePortTaken { by: Some(_), .. } => {
                "choose another base port in the fleet file, or free the port; of the usual range, 30000 to 30085 are given only to who asks for one".to_owned()
            }
            ErrorKind::Quota(_) => format!("raise the quota of namespace {namespace}, or ask for less"),
            ErrorKind::PodSecurity(_) => {
                format!("relax `pod-security.kubernetes.io/enforce` of namespace {namespace}, or expose by another way")
            }
            ErrorKind::Admission(_) => format!("ask whoever runs admission control in {cluster}"),
            ErrorKind::Changed | ErrorKind::AlreadyExists => {
                "somebody else is at work on it: run the command again".to_owned()
            }
            ErrorKind::Busy { .. } => "the API server is overloaded: try again".to_owned(),
            ErrorKind::SecretMissing(_) => {
                "give its source in this environment once; afterwards the stored value is kept".to_owned()
            }
            ErrorKind::Fenced { .. } => {
                "nothing was sent; it goes on when the Lease in the plane's home cluster is renewed, here or by whoever \
                 leads then"
                    .to_owned()
            }
            ErrorKind::NotFound
            | ErrorKind::Invalid(_)
            | ErrorKind::TooLarge
            | ErrorKind::Server { .. }
            | ErrorKind::Garbled(_) => return None,
        })
    }
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.object {
            Some(object) => write!(f, "cluster {}: {object}: {}", self.cluster, self.kind),
            None => write!(f, "cluster {}: {}", self.cluster, self.kind),
        }
    }
}

impl std::error::Error for ClusterError {}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownContext { context, .. } => write!(f, "the kubeconfig has no context `{context}`"),
            Self::Kubeconfig(why) => write!(f, "the kubeconfig can't be used: {why}"),
            Self::Credentials(why) => write!(f, "no credentials: {why}"),
            Self::Unauthorized => f.write_str("the API server does not accept our credentials (401)"),
            Self::Forbidden { verb, resource } => write!(f, "we may not {verb} {resource} (403)"),
            Self::Unreachable { address, why } => write!(f, "{address} can't be reached: {why}"),
            Self::Timeout { address, after } => write!(f, "{address} did not answer within {after:?}"),
            Self::KindMissing(kind) => write!(f, "the cluster does not know the kind {kind}"),
            Self::NamespaceMissing(name) => write!(f, "namespace {name} does not exist"),
            Self::NamespaceTerminating(name) => write!(f, "namespace {name} is being deleted"),
            Self::NotFound => f.write_str("not found"),
            Self::Foreign { owner } => write!(f, "exists and is not this fleet's: it belongs to {owner}"),
            Self::Contested(conflicts) => {
                f.write_str("fields are managed by somebody else: ")?;
                for (index, conflict) in conflicts.iter().enumerate() {
                    let separator = if index == 0 { "" } else { ", " };
                    write!(f, "{separator}{conflict}")?;
                }
                Ok(())
            }
            Self::Immutable { fields, .. } => write!(f, "can't be changed in place: {}", fields.join(", ")),
            Self::NodePortTaken { port, by } => {
                match port {
                    Some(port) => write!(f, "node port {port} is taken")?,
                    None => f.write_str("its node port is taken")?,
                }
                match by {
                    Some(by) => write!(f, " by Service {by}"),
                    None => Ok(()),
                }
            }
            Self::Quota(why) => write!(f, "over quota: {why}"),
            Self::PodSecurity(why) => write!(f, "refused by Pod Security: {why}"),
            Self::Admission(why) => write!(f, "refused by admission: {why}"),
            Self::Invalid(why) => write!(f, "the API server calls it invalid: {why}"),
            Self::Changed => f.write_str("changed since it was read (409)"),
            Self::AlreadyExists => f.write_str("already exists"),
            Self::TooLarge => f.write_str("is larger than the API server accepts"),
            Self::Busy { .. } => f.write_str("the API server is too busy"),
            Self::Server { code, reason } => write!(f, "the API server answered {code} {reason}"),
            Self::Garbled(what) => write!(f, "the answer makes no sense: {what}"),
            Self::SecretMissing(what) => write!(f, "no value for {what}, neither here nor stored"),
            Self::Fenced { why } => write!(f, "not written, since somebody else may lead by now: {why}"),
        }
    }
}

impl fmt::Display for FieldConflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.subresource {
            Some(subresource) => write!(f, "{} by {} ({subresource})", self.field, self.manager),
            None => write!(f, "{} by {}", self.field, self.manager),
        }
    }
}

/// Why there are no credentials, in words.
pub(crate) fn auth_failure(error: &AuthError) -> String {
    match error {
        AuthError::ReadTokenFile(error, path) => format!("{}: {error}", path.display()),
        other => other.to_string(),
    }
}
