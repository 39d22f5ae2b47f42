//! The query of a request, and the options in the body of a DELETE.

use serde_json::Value as Json;

use crate::error::ApiError;
use crate::request::{FieldValidation, Parameters, PatchType, Propagation, Verb};

/// The parts of a query: `a=b&c` is `[(a, b), (c, "")]`.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> {
    url::form_urlencoded::parse(query.as_bytes()).map(|(key, value)| (key.into_owned(), value.into_owned()))
}

/// As a server reads booleans in queries: everything but `false` and `0` is true.
pub(super) fn truth(value: &str) -> bool {
    !(value == "0" || value.eq_ignore_ascii_case("false"))
}

/// Reads the query. Without a `fieldManager`, the program's name in its user agent stands for it.
pub(super) fn read(query: &str, verb: Verb, user_agent: &str) -> Result<Parameters, ApiError> {
    let options = options(verb);
    let mut parameters = Parameters::default();
    for (key, value) in pairs(query) {
        if value.is_empty() && !matches!(key.as_str(), "force" | "allowWatchBookmarks" | "sendInitialEvents") {
            continue;
        }
        match key.as_str() {
            "fieldManager" => parameters.manager = Some(value),
            "force" => parameters.force = truth(&value),
            "dryRun" => parameters.dry_run = dry_run(options, &value)?,
            "fieldValidation" => parameters.field_validation = validation(options, &value)?,
            "labelSelector" => parameters.label_selector = Some(value),
            "fieldSelector" => parameters.field_selector = Some(value),
            "limit" => parameters.limit = Some(number::<usize>(&key, &value)?).filter(|limit| *limit > 0),
            "continue" => parameters.continue_from = Some(value),
            "resourceVersion" => parameters.resource_version = Some(value),
            "resourceVersionMatch" => parameters.resource_version_match = Some(value),
            "allowWatchBookmarks" => parameters.bookmarks = truth(&value),
            "sendInitialEvents" => parameters.send_initial_events = truth(&value),
            "timeoutSeconds" => parameters.timeout_seconds = Some(number(&key, &value)?),
            "gracePeriodSeconds" => parameters.grace_seconds = Some(number(&key, &value)?),
            "propagationPolicy" => parameters.propagation = Some(propagation(&value)?),
            "orphanDependents" => parameters.propagation = Some(orphan(truth(&value))),
            // `watch` belongs to the verb; others mean nothing to a real server either.
            _ => {}
        }
    }
    if parameters.manager.is_none() {
        let program: String = user_agent.split('/').next().unwrap_or_default().chars().take(128).collect();
        parameters.manager = Some(program).filter(|program| !program.is_empty());
    }
    Ok(parameters)
}

/// What only some verbs take.
pub(super) fn check(query: &str, verb: Verb) -> Result<(), ApiError> {
    let given = |name: &str| pairs(query).any(|(key, value)| key == name && !value.is_empty());
    let patch = match verb {
        Verb::Patch(patch) => patch,
        Verb::List => return check_match(query),
        _ => return Ok(()),
    };
    if patch == PatchType::Apply && !given("fieldManager") {
        let message = "Required value: is required for apply patch";
        return Err(invalid(options(verb), "fieldManager", "FieldValueRequired", message));
    }
    if patch != PatchType::Apply && given("force") {
        let message = "Forbidden: may not be specified for non-apply patch";
        return Err(invalid(options(verb), "force", "FieldValueForbidden", message));
    }
    Ok(())
}

/// Which versions a list may be of is said only with a version, and not where a list is continued.
fn check_match(query: &str) -> Result<(), ApiError> {
    let given = |name: &str| pairs(query).find(|(key, value)| key == name && !value.is_empty()).map(|(_, value)| value);
    let Some(wanted) = given("resourceVersionMatch") else { return Ok(()) };
    let version = given("resourceVersion");
    let forbidden = |why: &str| ("FieldValueForbidden", format!("Forbidden: resourceVersionMatch {why}"));
    let mut wrong = Vec::new();
    if version.is_none() {
        wrong.push(forbidden("is forbidden unless resourceVersion is provided"));
    }
    if given("continue").is_some() {
        wrong.push(forbidden("is forbidden when continue is provided"));
    }
    if !matches!(wanted.as_str(), "Exact" | "NotOlderThan") {
        let message = format!("Unsupported value: {wanted:?}: supported values: \"Exact\", \"NotOlderThan\", \"\"");
        wrong.push(("FieldValueNotSupported", message));
    }
    if wanted == "Exact" && version.as_deref() == Some("0") {
        wrong.push(forbidden("\"exact\" is forbidden for resourceVersion \"0\""));
    }
    let field = "resourceVersionMatch";
    let said: Vec<String> = wrong.iter().map(|(_, message)| format!("{field}: {message}")).collect();
    let said = match said.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    let causes: Vec<Json> = wrong
        .into_iter()
        .map(|(reason, message)| serde_json::json!({ "reason": reason, "message": message, "field": field }))
        .collect();
    let details = serde_json::json!({ "group": "meta.k8s.io", "kind": "ListOptions", "causes": causes });
    Err(ApiError::new(422, "Invalid", format!("ListOptions.meta.k8s.io \"\" is invalid: {said}")).with(details))
}

/// What a server calls the query of a request.
const fn options(verb: Verb) -> &'static str {
    match verb {
        Verb::Create => "CreateOptions",
        Verb::Update => "UpdateOptions",
        Verb::Delete | Verb::DeleteCollection => DELETE,
        _ => "PatchOptions",
    }
}

const DELETE: &str = "DeleteOptions";

/// Reads `DeleteOptions`. Where they stand in the body, those of the query count for nothing.
pub(super) fn delete_options(parameters: &mut Parameters, options: &Json) -> Result<(), ApiError> {
    (parameters.dry_run, parameters.grace_seconds, parameters.propagation) = (false, None, None);
    if let Some(grace) = options.get("gracePeriodSeconds").and_then(Json::as_i64) {
        parameters.grace_seconds = Some(grace);
    }
    if let Some(policy) = options.get("propagationPolicy").and_then(Json::as_str) {
        parameters.propagation = Some(propagation(policy)?);
    } else if let Some(orphans) = options.get("orphanDependents").and_then(Json::as_bool) {
        parameters.propagation = Some(orphan(orphans));
    }
    let precondition =
        |name: &str| options.pointer(&format!("/preconditions/{name}")).and_then(Json::as_str).map(str::to_owned);
    parameters.uid = precondition("uid");
    parameters.if_resource_version = precondition("resourceVersion");
    for stage in options.get("dryRun").and_then(Json::as_array).into_iter().flatten() {
        parameters.dry_run |= dry_run(DELETE, stage.as_str().unwrap_or_default())?;
    }
    Ok(())
}

fn dry_run(options: &str, value: &str) -> Result<bool, ApiError> {
    if value == "All" { Ok(true) } else { Err(not_one_of(options, "dryRun", value, "\"All\"")) }
}

fn validation(options: &str, value: &str) -> Result<FieldValidation, ApiError> {
    match value {
        "Ignore" => Ok(FieldValidation::Ignore),
        "Warn" => Ok(FieldValidation::Warn),
        "Strict" => Ok(FieldValidation::Strict),
        _ => Err(not_one_of(options, "fieldValidation", value, "\"Ignore\", \"Strict\", \"Warn\"")),
    }
}

fn propagation(value: &str) -> Result<Propagation, ApiError> {
    match value {
        "Orphan" => Ok(Propagation::Orphan),
        "Background" => Ok(Propagation::Background),
        "Foreground" => Ok(Propagation::Foreground),
        _ => Err(not_one_of(DELETE, "propagationPolicy", value, "\"Foreground\", \"Background\", \"Orphan\", \"nil\"")),
    }
}

const fn orphan(orphans: bool) -> Propagation {
    if orphans { Propagation::Orphan } else { Propagation::Background }
}

fn number<N: std::str::FromStr<Err = std::num::ParseIntError>>(key: &str, value: &str) -> Result<N, ApiError> {
    value.parse().map_err(|error| ApiError::bad_request(format!("{key}={value:?} of the query: {error}")))
}

fn not_one_of(options: &str, field: &str, value: &str, supported: &str) -> ApiError {
    let message = format!("Unsupported value: {value:?}: supported values: {supported}");
    invalid(options, field, "FieldValueNotSupported", &message)
}

fn invalid(options: &str, field: &str, reason: &str, message: &str) -> ApiError {
    let details = serde_json::json!({
        "group": "meta.k8s.io",
        "kind": options,
        "causes": [{ "reason": reason, "message": message, "field": field }],
    });
    ApiError::new(422, "Invalid", format!("{options}.meta.k8s.io \"\" is invalid: {field}: {message}")).with(details)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_becomes_parameters() {
        let query = "labelSelector=a%3Db%2Cc&limit=500&force&dryRun=All&fieldValidation=Strict&timeoutSeconds=290\
                     &resourceVersion=&allowWatchBookmarks=true&watch=1";
        let parameters = read(query, Verb::List, "kubectl/v1.34.3 (linux/amd64)").unwrap();
        let expected = Parameters {
            manager: Some("kubectl".to_owned()),
            force: true,
            dry_run: true,
            field_validation: FieldValidation::Strict,
            label_selector: Some("a=b,c".to_owned()),
            limit: Some(500),
            bookmarks: true,
            timeout_seconds: Some(290),
            ..Parameters::default()
        };
        assert_eq!(parameters, expected);
        assert_eq!(read("dryRun=Some", Verb::Update, "").unwrap_err().code, 422);
        assert_eq!(read("limit=x", Verb::List, "").unwrap_err().code, 400);
    }

    #[test]
    fn an_apply_names_its_manager_and_only_it_forces() {
        let apply = Verb::Patch(PatchType::Apply);
        assert!(check("force=true", apply).unwrap_err().message.contains("fieldManager: Required value"));
        assert_eq!(check("fieldManager=x&force=true", apply), Ok(()));
        assert!(check("force=true", Verb::Patch(PatchType::Merge)).unwrap_err().message.contains("force: Forbidden"));
    }

    #[test]
    fn a_match_needs_a_version_and_no_continuation() {
        for fine in
            ["resourceVersion=7&resourceVersionMatch=Exact", "resourceVersion=0&resourceVersionMatch=NotOlderThan"]
        {
            assert_eq!(check(fine, Verb::List), Ok(()), "{fine}");
        }
        let refused = check("resourceVersionMatch=Exact", Verb::List).unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (
                422,
                "ListOptions.meta.k8s.io \"\" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is \
                 forbidden unless resourceVersion is provided"
            )
        );
        for wrong in ["resourceVersion=0&resourceVersionMatch=Exact", "resourceVersion=7&resourceVersionMatch=Some"] {
            assert_eq!(check(wrong, Verb::List).unwrap_err().code, 422, "{wrong}");
        }
        let both = check("resourceVersionMatch=NotOlderThan&continue=x", Verb::List).unwrap_err();
        assert_eq!(both.details["causes"].as_array().map(Vec::len), Some(2));
    }

    #[test]
    fn options_of_a_delete() {
        let mut parameters = read("gracePeriodSeconds=30", Verb::Delete, "").unwrap();
        let options = json!({
            "gracePeriodSeconds": 0,
            "propagationPolicy": "Foreground",
            "preconditions": { "uid": "u", "resourceVersion": "7" },
            "dryRun": ["All"],
        });
        delete_options(&mut parameters, &options).unwrap();
        assert_eq!(parameters.grace_seconds, Some(0));
        assert_eq!(parameters.propagation, Some(Propagation::Foreground));
        assert_eq!((parameters.uid.as_deref(), parameters.if_resource_version.as_deref()), (Some("u"), Some("7")));
        assert!(parameters.dry_run);
    }
}
