//! The closed list of kinds.

/// A kind of object that this server keeps.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// The API group; empty for the core group.
    pub group: &'static str,
    /// The version.
    pub version: &'static str,
    /// `kind` as it stands in objects.
    pub name: &'static str,
    /// The plural that stands in URLs.
    pub plural: &'static str,
    /// For people.
    pub singular: &'static str,
    /// Abbreviations that kubectl takes.
    pub short: &'static [&'static str],
    /// Whether objects live in a namespace.
    pub namespaced: bool,
    /// The subresources that are served: `status`, `scale`, …
    pub subresources: &'static [&'static str],
    /// Groups of kinds, such as `all`.
    pub categories: &'static [&'static str],
    /// Defined by a CRD on real servers; a cluster may be without it.
    pub custom: bool,
}

const fn kind(
    (group, version): (&'static str, &'static str),
    (name, plural, singular): (&'static str, &'static str, &'static str),
    namespaced: bool,
    short: &'static [&'static str],
    subresources: &'static [&'static str],
) -> Kind {
    Kind { group, version, name, plural, singular, short, namespaced, subresources, categories: &[], custom: false }
}

impl Kind {
    const fn in_all(mut self) -> Self {
        self.categories = &["all"];
        self
    }

    const fn of_crd(mut self) -> Self {
        self.custom = true;
        self
    }

    /// `apiVersion` as it stands in objects.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }

    /// `services` or `deployments.apps`, as messages name it.
    #[must_use]
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.to_owned() } else { format!("{}.{}", self.plural, self.group) }
    }

    /// By the parts of a URL.
    #[must_use]
    pub fn find(group: &str, version: &str, plural: &str) -> Option<&'static Self> {
        KINDS.iter().copied().find(|kind| kind.group == group && kind.version == version && kind.plural == plural)
    }

    /// By what stands in an object.
    #[must_use]
    pub fn of(api_version: &str, name: &str) -> Option<&'static Self> {
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        KINDS.iter().copied().find(|kind| kind.group == group && kind.version == version && kind.name == name)
    }
}

const CORE: (&str, &str) = ("", "v1");
const APPS: (&str, &str) = ("apps", "v1");
const DISCOVERY: (&str, &str) = ("discovery.k8s.io", "v1");
const NETWORKING: (&str, &str) = ("networking.k8s.io", "v1");
const POLICY: (&str, &str) = ("policy", "v1");
const COORDINATION: (&str, &str) = ("coordination.k8s.io", "v1");
const RBAC: (&str, &str) = ("rbac.authorization.k8s.io", "v1");
const SCHEDULING: (&str, &str) = ("scheduling.k8s.io", "v1");
const GATEWAY: (&str, &str) = ("gateway.networking.k8s.io", "v1");
const MONITORING: (&str, &str) = ("monitoring.coreos.com", "v1");

/// `v1` Namespace.
pub static NAMESPACE: Kind =
    kind(CORE, ("Namespace", "namespaces", "namespace"), false, &["ns"], &["status", "finalize"]);
/// `v1` Node.
pub static NODE: Kind = kind(CORE, ("Node", "nodes", "node"), false, &["no"], &["status"]);
/// `v1` Pod.
pub static POD: Kind =
    kind(CORE, ("Pod", "pods", "pod"), true, &["po"], &["status", "binding", "eviction", "portforward", "log"])
        .in_all();
/// `v1` Service.
pub static SERVICE: Kind = kind(CORE, ("Service", "services", "service"), true, &["svc"], &["status"]).in_all();
/// `v1` ConfigMap.
pub static CONFIG_MAP: Kind = kind(CORE, ("ConfigMap", "configmaps", "configmap"), true, &["cm"], &[]);
/// `v1` Secret.
pub static SECRET: Kind = kind(CORE, ("Secret", "secrets", "secret"), true, &[], &[]);
/// `v1` Event.
pub static EVENT: Kind = kind(CORE, ("Event", "events", "event"), true, &["ev"], &[]);
/// `v1` ServiceAccount.
pub static SERVICE_ACCOUNT: Kind =
    kind(CORE, ("ServiceAccount", "serviceaccounts", "serviceaccount"), true, &["sa"], &["token"]);
/// `v1` PersistentVolumeClaim.
pub static CLAIM: Kind = kind(
    CORE,
    ("PersistentVolumeClaim", "persistentvolumeclaims", "persistentvolumeclaim"),
    true,
    &["pvc"],
    &["status"],
);
/// `v1` ResourceQuota.
pub static QUOTA: Kind =
    kind(CORE, ("ResourceQuota", "resourcequotas", "resourcequota"), true, &["quota"], &["status"]);
/// `apps/v1` Deployment.
pub static DEPLOYMENT: Kind =
    kind(APPS, ("Deployment", "deployments", "deployment"), true, &["deploy"], &["status", "scale"]).in_all();
/// `apps/v1` ReplicaSet.
pub static REPLICA_SET: Kind =
    kind(APPS, ("ReplicaSet", "replicasets", "replicaset"), true, &["rs"], &["status", "scale"]).in_all();
/// `apps/v1` StatefulSet.
pub static STATEFUL_SET: Kind =
    kind(APPS, ("StatefulSet", "statefulsets", "statefulset"), true, &["sts"], &["status", "scale"]).in_all();
/// `apps/v1` ControllerRevision.
pub static CONTROLLER_REVISION: Kind =
    kind(APPS, ("ControllerRevision", "controllerrevisions", "controllerrevision"), true, &[], &[]);
/// `discovery.k8s.io/v1` EndpointSlice.
pub static ENDPOINT_SLICE: Kind = kind(DISCOVERY, ("EndpointSlice", "endpointslices", "endpointslice"), true, &[], &[]);
/// `networking.k8s.io/v1` NetworkPolicy.
pub static NETWORK_POLICY: Kind =
    kind(NETWORKING, ("NetworkPolicy", "networkpolicies", "networkpolicy"), true, &["netpol"], &[]);
/// `networking.k8s.io/v1` Ingress.
pub static INGRESS: Kind = kind(NETWORKING, ("Ingress", "ingresses", "ingress"), true, &["ing"], &["status"]);
/// `policy/v1` PodDisruptionBudget.
pub static DISRUPTION_BUDGET: Kind =
    kind(POLICY, ("PodDisruptionBudget", "poddisruptionbudgets", "poddisruptionbudget"), true, &["pdb"], &["status"]);
/// `coordination.k8s.io/v1` Lease.
pub static LEASE: Kind = kind(COORDINATION, ("Lease", "leases", "lease"), true, &[], &[]);
/// `rbac.authorization.k8s.io/v1` Role.
pub static ROLE: Kind = kind(RBAC, ("Role", "roles", "role"), true, &[], &[]);
/// `rbac.authorization.k8s.io/v1` RoleBinding.
pub static ROLE_BINDING: Kind = kind(RBAC, ("RoleBinding", "rolebindings", "rolebinding"), true, &[], &[]);
/// `rbac.authorization.k8s.io/v1` ClusterRole.
pub static CLUSTER_ROLE: Kind = kind(RBAC, ("ClusterRole", "clusterroles", "clusterrole"), false, &[], &[]);
/// `rbac.authorization.k8s.io/v1` ClusterRoleBinding.
pub static CLUSTER_ROLE_BINDING: Kind =
    kind(RBAC, ("ClusterRoleBinding", "clusterrolebindings", "clusterrolebinding"), false, &[], &[]);
/// `scheduling.k8s.io/v1` PriorityClass.
pub static PRIORITY_CLASS: Kind =
    kind(SCHEDULING, ("PriorityClass", "priorityclasses", "priorityclass"), false, &["pc"], &[]);
/// `gateway.networking.k8s.io/v1` HTTPRoute.
pub static HTTP_ROUTE: Kind = kind(GATEWAY, ("HTTPRoute", "httproutes", "httproute"), true, &[], &["status"]).of_crd();
/// `monitoring.coreos.com/v1` PodMonitor.
pub static POD_MONITOR: Kind =
    kind(MONITORING, ("PodMonitor", "podmonitors", "podmonitor"), true, &["pmon"], &[]).of_crd();

/// All of them.
pub static KINDS: [&Kind; 26] = [
    &NAMESPACE,
    &NODE,
    &POD,
    &SERVICE,
    &CONFIG_MAP,
    &SECRET,
    &EVENT,
    &SERVICE_ACCOUNT,
    &CLAIM,
    &QUOTA,
    &DEPLOYMENT,
    &REPLICA_SET,
    &STATEFUL_SET,
    &CONTROLLER_REVISION,
    &ENDPOINT_SLICE,
    &NETWORK_POLICY,
    &INGRESS,
    &DISRUPTION_BUDGET,
    &LEASE,
    &ROLE,
    &ROLE_BINDING,
    &CLUSTER_ROLE,
    &CLUSTER_ROLE_BINDING,
    &PRIORITY_CLASS,
    &HTTP_ROUTE,
    &POD_MONITOR,
];
