//! Nobody grants what he may not do himself: what is asked of who writes roles and their bindings.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::Attempt;
use super::causes;
use super::shape::text;
use crate::access::{self, Action};
use crate::error::ApiError;
use crate::kinds::{CLUSTER_ROLE, ROLE};

/// Refuses an object that would give somebody more than its writer has.
pub(super) fn check(object: &Json, attempt: &Attempt<'_>) -> Result<(), ApiError> {
    let Attempt { kind, namespace, user, around, .. } = *attempt;
    let name = text(object, "/metadata/name");
    let (role, named, verb) = match kind.name {
        "Role" | "ClusterRole" => (kind, name, "escalate"),
        "RoleBinding" | "ClusterRoleBinding" => {
            let role = if text(object, "/roleRef/kind") == "ClusterRole" { &CLUSTER_ROLE } else { &ROLE };
            (role, text(object, "/roleRef/name"), "bind")
        }
        _ => return Ok(()),
    };
    if access::is_master(user) {
        return Ok(());
    }
    let held = access::rules(around, user, namespace);
    let free = Action {
        verb,
        group: role.group,
        resource: role.plural,
        subresource: None,
        namespace,
        name: Some(named).filter(|name| !name.is_empty()),
    };
    if held.iter().any(|rule| access::covers(rule, free)) {
        return Ok(());
    }
    let granted = if role == kind {
        if attempt.old.is_some_and(|old| old.get("rules") == object.get("rules")) {
            return Ok(());
        }
        object.get("rules").cloned()
    } else {
        let home = namespace.filter(|_| role.namespaced);
        let found = around.get(role, home, named).ok_or_else(|| {
            let details = serde_json::json!({ "name": named, "group": role.group, "kind": role.plural });
            ApiError::new(404, "NotFound", format!("{} {named:?} not found", role.resource())).with(details)
        })?;
        found.get("rules").cloned()
    };
    let missing = missing(&held, &granted.unwrap_or_default());
    if missing.is_empty() {
        return Ok(());
    }
    let why = format!(
        "user {:?} (groups={}) is attempting to grant RBAC permissions not currently held:\n{}",
        user.name,
        quoted(user.groups.iter().map(String::as_str)),
        missing.into_iter().collect::<Vec<_>>().join("\n")
    );
    Err(causes::forbidden(kind, name, &why))
}

fn texts<'a>(rule: &'a Json, key: &str) -> Vec<&'a str> {
    rule[key].as_array().into_iter().flatten().filter_map(Json::as_str).collect()
}

/// What of the rules nobody holds who holds those, as a server prints it.
fn missing(held: &[Json], granted: &Json) -> BTreeSet<String> {
    // Verbs by group, resource and name.
    let mut lacking: BTreeMap<(&str, &str, Option<&str>), Vec<&str>> = BTreeMap::new();
    let mut printed = BTreeSet::new();
    for rule in granted.as_array().into_iter().flatten() {
        let names: Vec<Option<&str>> = match texts(rule, "resourceNames") {
            none if none.is_empty() => vec![None],
            some => some.into_iter().map(Some).collect(),
        };
        for verb in texts(rule, "verbs") {
            for group in texts(rule, "apiGroups") {
                for whole in texts(rule, "resources") {
                    let (resource, subresource) =
                        whole.split_once('/').map_or((whole, None), |(resource, part)| (resource, Some(part)));
                    for name in &names {
                        let action = Action { verb, group, resource, subresource, namespace: None, name: *name };
                        if !held.iter().any(|rule| access::covers(rule, action)) {
                            lacking.entry((group, whole, *name)).or_default().push(verb);
                        }
                    }
                }
            }
            for url in texts(rule, "nonResourceURLs") {
                if !held.iter().any(|rule| covers_url(rule, verb, url)) {
                    printed.insert(format!("{{NonResourceURLs:[{url:?}], Verbs:[{verb:?}]}}"));
                }
            }
        }
    }
    printed.extend(lacking.into_iter().map(|((group, resource, name), verbs)| {
        let name = name.map(|name| format!("ResourceNames:[{name:?}], ")).unwrap_or_default();
        format!("{{APIGroups:[{group:?}], Resources:[{resource:?}], {name}Verbs:{}}}", quoted(verbs.into_iter()))
    }));
    printed
}

fn covers_url(rule: &Json, verb: &str, url: &str) -> bool {
    let reaches = |held: &str| held == url || held.strip_suffix('*').is_some_and(|prefix| url.starts_with(prefix));
    texts(rule, "verbs").iter().any(|held| *held == "*" || *held == verb)
        && texts(rule, "nonResourceURLs").into_iter().any(reaches)
}

/// As Go prints a list of strings.
fn quoted<'a>(words: impl Iterator<Item = &'a str>) -> String {
    format!("[{}]", words.map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_missing_is_named_resource_by_resource() {
        let held = [
            json!({ "verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "*/log"] }),
            json!({ "verbs": ["*"], "apiGroups": ["apps"], "resources": ["*"] }),
            json!({ "verbs": ["get"], "nonResourceURLs": ["/healthz/*"] }),
        ];
        let fine = json!([
            { "verbs": ["get"], "apiGroups": [""], "resources": ["pods", "pods/log"], "resourceNames": ["jvb-0"] },
            { "verbs": ["*"], "apiGroups": ["apps"], "resources": ["deployments/scale"] },
            { "verbs": ["get"], "nonResourceURLs": ["/healthz/etcd"] },
        ]);
        assert_eq!(missing(&held, &fine), BTreeSet::new());
        let more = json!([
            { "verbs": ["get", "patch", "delete"], "apiGroups": [""], "resources": ["pods"] },
            { "verbs": ["get"], "apiGroups": [""], "resources": ["secrets"], "resourceNames": ["x"] },
            { "verbs": ["get"], "nonResourceURLs": ["/metrics"] },
        ]);
        let expected = [
            r#"{APIGroups:[""], Resources:["pods"], Verbs:["patch" "delete"]}"#,
            r#"{APIGroups:[""], Resources:["secrets"], ResourceNames:["x"], Verbs:["get"]}"#,
            r#"{NonResourceURLs:["/metrics"], Verbs:["get"]}"#,
        ];
        assert_eq!(missing(&held, &more), expected.map(str::to_owned).into());
    }
}
