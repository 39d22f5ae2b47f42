//! URLs: what a path stands for.

use http::Method;

use crate::kinds::{KINDS, Kind};

/// What a path stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// Objects of a kind that this server keeps.
    Objects(Resource),
    /// Something that a real server has and this one has not.
    Missing(Place),
    /// A subresource that the kind has on no server.
    NoSuchPart(Resource),
    /// A review: `selfsubjectaccessreviews` and its like.
    Review {
        /// `authorization.k8s.io` or `authentication.k8s.io`.
        group: &'static str,
        /// The plural.
        plural: &'static str,
    },
    /// A document: discovery, versions, health.
    Document,
}

/// The parts of a resource's path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) plural: String,
    pub(super) namespace: Option<String>,
    pub(super) name: Option<String>,
    pub(super) subresource: Option<String>,
}

/// A place of a known kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) kind: &'static Kind,
    pub(super) place: Place,
}

/// The reviews that are answered, and their kinds.
pub(super) const REVIEWS: [(&str, &str, &str); 3] = [
    ("authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview"),
    ("authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview"),
    ("authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview"),
];

/// What a path stands for; none for paths that a real server doesn't know either.
pub(super) fn find(path: &str) -> Option<Target> {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let (group, version, rest) = match parts.as_slice() {
        ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
        ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
        _ => return Some(Target::Document),
    };
    let place = place(group, version, rest)?;
    if let Some(kind) = Kind::find(group, version, &place.plural) {
        return match place.subresource.as_deref() {
            Some(subresource) if !kind.subresources.contains(&subresource) => {
                match real_subresource(&place.plural, subresource) {
                    true => Some(Target::Missing(place)),
                    false => Some(Target::NoSuchPart(Resource { kind, place })),
                }
            }
            _ if place.namespace.is_some() && !kind.namespaced => None,
            // An object of a namespaced kind has a namespace in its path.
            _ if kind.namespaced && place.namespace.is_none() && place.name.is_some() => None,
            _ => Some(Target::Objects(Resource { kind, place })),
        };
    }
    if let Some((group, plural, _)) = REVIEWS.iter().find(|(g, plural, _)| *g == group && *plural == place.plural) {
        return (version == "v1").then_some(Target::Review { group, plural });
    }
    real(group, &place.plural).then_some(Target::Missing(place))
}

fn place(group: &str, version: &str, rest: &[&str]) -> Option<Place> {
    // `/namespaces/x` and `/namespaces/x/status` are the namespace itself, all deeper paths are in it.
    let (namespace, rest) = match rest {
        ["namespaces", _, "status" | "finalize"] if group.is_empty() => (None, rest),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (Some(*namespace), inner),
        _ => (None, rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, None, None),
        [plural, name] => (*plural, Some(*name), None),
        [plural, name, subresource, ..] => (*plural, Some(*name), Some(*subresource)),
        [] => return None,
    };
    Some(Place {
        group: group.to_owned(),
        version: version.to_owned(),
        plural: plural.to_owned(),
        namespace: namespace.map(decode),
        name: name.map(decode),
        subresource: subresource.map(str::to_owned),
    })
}

/// Undoes percent encoding, as far as it is valid.
fn decode(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = tail.get(..2).filter(|_| *first == b'%').and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a real server has such a subresource.
fn real_subresource(plural: &str, subresource: &str) -> bool {
    matches!(
        (plural, subresource),
        ("pods", "exec" | "attach" | "proxy" | "ephemeralcontainers" | "resize") | ("services" | "nodes", "proxy")
    )
}

/// Whether a real server has such a resource, although this one has not.
fn real(group: &str, plural: &str) -> bool {
    matches!(
        (group, plural),
        (
            "",
            "bindings"
                | "componentstatuses"
                | "endpoints"
                | "limitranges"
                | "persistentvolumes"
                | "podtemplates"
                | "replicationcontrollers"
        ) | ("apps", "daemonsets")
            | ("admissionregistration.k8s.io" | "apiextensions.k8s.io" | "apiregistration.k8s.io", _)
            | ("authentication.k8s.io", "tokenreviews")
            | ("authorization.k8s.io", "subjectaccessreviews" | "localsubjectaccessreviews")
            | ("autoscaling" | "batch" | "certificates.k8s.io" | "events.k8s.io", _)
            | ("flowcontrol.apiserver.k8s.io" | "node.k8s.io" | "resource.k8s.io" | "storage.k8s.io", _)
            | ("networking.k8s.io", "ingressclasses" | "ipaddresses" | "servicecidrs")
            | ("coordination.k8s.io", "leasecandidates")
            | ("gateway.networking.k8s.io", "gateways" | "gatewayclasses" | "grpcroutes" | "referencegrants")
            | ("monitoring.coreos.com", "servicemonitors" | "prometheusrules" | "prometheuses" | "alertmanagers")
    )
}

impl Target {
    /// Where it is, if it is a resource.
    pub(super) fn place(&self) -> Option<&Place> {
        match self {
            Self::Objects(resource) | Self::NoSuchPart(resource) => Some(&resource.place),
            Self::Missing(place) => Some(place),
            Self::Review { .. } | Self::Document => None,
        }
    }
}

/// RBAC's word for a method; none for methods that resources don't have.
pub(super) fn verb(method: &Method, has_name: bool, watches: bool) -> Option<&'static str> {
    Some(match *method {
        Method::GET if watches && !has_name => "watch",
        Method::GET if has_name => "get",
        Method::GET => "list",
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if has_name => "delete",
        Method::DELETE => "deletecollection",
        _ => return None,
    })
}

/// Where a group's version stands.
pub(super) fn prefix(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

/// The groups and versions that are served, in the order of [`KINDS`], each with its kinds.
pub(super) fn groups(is_served: impl Fn(&Kind) -> bool) -> Vec<(&'static str, &'static str, Vec<&'static Kind>)> {
    let mut groups: Vec<(&str, &str, Vec<&'static Kind>)> = Vec::new();
    for kind in KINDS.into_iter().filter(|kind| is_served(kind)) {
        match groups.iter_mut().find(|(group, version, _)| (*group, *version) == (kind.group, kind.version)) {
            Some((_, _, kinds)) => kinds.push(kind),
            None => groups.push((kind.group, kind.version, vec![kind])),
        }
    }
    for (group, _, _) in REVIEWS {
        if !groups.iter().any(|(other, _, _)| *other == group) {
            groups.push((group, "v1", Vec::new()));
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinds::{CLUSTER_ROLE, NAMESPACE, POD};

    fn objects(path: &str) -> (&'static Kind, Place) {
        match find(path) {
            Some(Target::Objects(resource)) => (resource.kind, resource.place),
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn paths_of_objects() {
        let (kind, place) = objects("/api/v1/namespaces/meet/pods/jvb-0/portforward");
        assert_eq!(kind, &POD);
        assert_eq!(place.namespace.as_deref(), Some("meet"));
        assert_eq!(place.name.as_deref(), Some("jvb-0"));
        assert_eq!(place.subresource.as_deref(), Some("portforward"));

        let (kind, place) = objects("/api/v1/namespaces/meet/status");
        assert_eq!((kind, place.name.as_deref(), place.namespace), (&NAMESPACE, Some("meet"), None));
        let (kind, place) = objects("/api/v1/pods");
        assert_eq!((kind, place.name, place.namespace), (&POD, None, None));
        let (kind, place) = objects("/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Anode");
        assert_eq!((kind, place.name.as_deref()), (&CLUSTER_ROLE, Some("system:node")));
    }

    #[test]
    fn what_is_missing_and_what_is_unknown() {
        for path in ["/api/v1/endpoints", "/apis/batch/v1/namespaces/x/jobs", "/api/v1/namespaces/x/pods/y/exec"] {
            assert!(matches!(find(path), Some(Target::Missing(_))), "{path}");
        }
        for path in ["/api/v1/nothings", "/apis/apps/v1/pods", "/api/v1/pods/x", "/api/v1/namespaces/x/nodes"] {
            assert_eq!(find(path), None, "{path}");
        }
        assert_eq!(find("/apis/apps/v1"), Some(Target::Document));
    }
}
