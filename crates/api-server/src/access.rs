//! Who may do what, for what is decided before a request reaches the server: the stored roles and bindings say it.

use serde_json::Value as Json;

use crate::error::ApiError;
use crate::kinds;
use crate::request::User;
use crate::surroundings::Surroundings;

/// Something that somebody wants to do.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Action<'a> {
    pub(crate) verb: &'a str,
    pub(crate) group: &'a str,
    pub(crate) resource: &'a str,
    pub(crate) subresource: Option<&'a str>,
    pub(crate) namespace: Option<&'a str>,
    pub(crate) name: Option<&'a str>,
}

/// Whether the user may.
pub(crate) fn allows(around: &dyn Surroundings, user: &User, action: Action<'_>) -> bool {
    is_master(user) || rules(around, user, action.namespace).iter().any(|rule| covers(rule, action))
}

/// Refuses what the user may not do.
pub(crate) fn require(around: &dyn Surroundings, user: &User, action: Action<'_>) -> Result<(), ApiError> {
    if allows(around, user, action) {
        return Ok(());
    }
    let Action { verb, group, resource, subresource, namespace, name } = action;
    let full = subresource.map_or_else(|| resource.to_owned(), |subresource| format!("{resource}/{subresource}"));
    let place = namespace.map_or_else(|| "at the cluster scope".to_owned(), |ns| format!("in the namespace {ns:?}"));
    let object = name.map(|name| format!(" {name:?}")).unwrap_or_default();
    let qualified = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
    let message = format!(
        "{qualified}{object} is forbidden: User {:?} cannot {verb} resource {full:?} in API group {group:?} {place}",
        user.name
    );
    let details = serde_json::json!({ "name": name.unwrap_or_default(), "group": group, "kind": resource });
    Err(ApiError::new(403, "Forbidden", message).with(details))
}

/// Whether roles don't matter.
pub(crate) fn is_master(user: &User) -> bool {
    user.groups.iter().any(|group| group == "system:masters")
}

/// The rules that hold for the user: those of the cluster, and those of a namespace.
pub(crate) fn rules(around: &dyn Surroundings, user: &User, namespace: Option<&str>) -> Vec<Json> {
    let mut rules = Vec::new();
    let mut bindings = around.list(&kinds::CLUSTER_ROLE_BINDING, None);
    if namespace.is_some() {
        bindings.extend(around.list(&kinds::ROLE_BINDING, namespace));
    }
    for binding in bindings.iter().filter(|binding| binds(binding, user)) {
        let reference = &binding["roleRef"];
        let (kind, within) = match reference["kind"].as_str() {
            Some("ClusterRole") => (&kinds::CLUSTER_ROLE, None),
            _ => (&kinds::ROLE, namespace),
        };
        if let Some(role) = around.get(kind, within, reference["name"].as_str().unwrap_or_default()) {
            rules.extend(role["rules"].as_array().into_iter().flatten().cloned());
        }
    }
    rules
}

fn binds(binding: &Json, user: &User) -> bool {
    let home = binding.pointer("/metadata/namespace").and_then(Json::as_str).unwrap_or_default();
    binding["subjects"].as_array().into_iter().flatten().any(|subject| {
        let name = subject["name"].as_str().unwrap_or_default();
        match subject["kind"].as_str() {
            Some("User") => user.name == name,
            Some("Group") => user.groups.iter().any(|group| group == name),
            Some("ServiceAccount") => {
                let namespace = subject["namespace"].as_str().unwrap_or(home);
                user.name == format!("system:serviceaccount:{namespace}:{name}")
            }
            _ => false,
        }
    })
}

/// Whether a rule allows it.
pub(crate) fn covers(rule: &Json, action: Action<'_>) -> bool {
    let texts = |key: &str| rule[key].as_array().into_iter().flatten().filter_map(Json::as_str);
    let resource = match action.subresource {
        Some(subresource) => format!("{}/{subresource}", action.resource),
        None => action.resource.to_owned(),
    };
    let of_any = action.subresource.map(|subresource| format!("*/{subresource}"));
    texts("verbs").any(|verb| verb == "*" || verb == action.verb)
        && texts("apiGroups").any(|group| group == "*" || group == action.group)
        && texts("resources").any(|one| one == "*" || one == resource || of_any.as_deref() == Some(one))
        && (texts("resourceNames").next().is_none() || texts("resourceNames").any(|one| Some(one) == action.name))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rules_may_be_limited_to_names_and_subresources() {
        let rule = json!({
            "verbs": ["get", "create"],
            "apiGroups": [""],
            "resources": ["pods/portforward"],
            "resourceNames": ["jvb-0"],
        });
        let action = Action {
            verb: "create",
            group: "",
            resource: "pods",
            subresource: Some("portforward"),
            namespace: Some("meet"),
            name: Some("jvb-0"),
        };
        assert!(covers(&rule, action));
        assert!(!covers(&rule, Action { name: Some("jvb-1"), ..action }));
        assert!(!covers(&rule, Action { subresource: None, ..action }));
        assert!(!covers(&rule, Action { verb: "delete", ..action }));
    }

    #[test]
    fn service_accounts_are_users_too() {
        let binding = json!({
            "metadata": { "namespace": "meet" },
            "subjects": [{ "kind": "ServiceAccount", "name": "ops" }],
        });
        let user = |name: &str| User { name: name.to_owned(), groups: Vec::new() };
        assert!(binds(&binding, &user("system:serviceaccount:meet:ops")));
        assert!(!binds(&binding, &user("system:serviceaccount:other:ops")));
    }
}
