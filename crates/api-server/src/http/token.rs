//! Tokens of ServiceAccounts, made on request (`serviceaccounts/token`).

use std::hash::{BuildHasher as _, Hasher as _, RandomState};

use jiff::SignedDuration;
use serde_json::{Value as Json, json};

use super::caller::Caller;
use super::gate::RequestLine;
use super::users::Pass;
use crate::access::{self, Action};
use crate::error::ApiError;
use crate::kinds::SERVICE_ACCOUNT;
use crate::request::{Answer, Request, User, Verb};
use crate::server::ApiServer;
use crate::store::text;

/// Who a token is for when nobody says: the API server itself.
const AUDIENCE: &str = "https://kubernetes.default.svc.cluster.local";

/// How long a token lasts when nobody says, in seconds.
const LASTING: i64 = 3600;

/// Refuses who may not ask for tokens of this account.
pub(super) fn allow(server: &ApiServer, line: &RequestLine, namespace: &str, name: &str) -> Result<(), ApiError> {
    let action = Action {
        verb: "create",
        group: "",
        resource: SERVICE_ACCOUNT.plural,
        subresource: Some("token"),
        namespace: Some(namespace),
        name: Some(name),
    };
    server.with_all(|around| access::require(around, &line.user, action))
}

/// Makes a token of an account, and answers with it.
pub(super) fn make(
    caller: &Caller,
    line: &RequestLine,
    (namespace, name): (&str, &str),
    wanted: &Json,
) -> Result<Json, ApiError> {
    let server = &caller.server;
    let asked = Request::new(Verb::Get, &SERVICE_ACCOUNT, Some(namespace), Some(name));
    let Answer::Object { object: account, .. } = server.call(asked)? else {
        return Err(ApiError::new(500, "InternalError", "an account is an object"));
    };
    let seconds = lasting(wanted)?;
    let spec = |key: &str| wanted.pointer(&format!("/spec/{key}"));
    if spec("audiences").and_then(Json::as_array).is_some_and(|audiences| audiences.iter().any(|one| one != AUDIENCE)) {
        return Err(missing("tokens for other audiences than this server"));
    }
    if spec("boundObjectRef").is_some_and(|bound| !bound.is_null()) {
        return Err(missing("tokens that are bound to an object"));
    }
    if line.dry_run {
        return Err(missing("a dry run"));
    }
    let now = server.clock().now();
    let expires = now
        .checked_add(SignedDuration::from_secs(seconds))
        .map_err(|error| ApiError::bad_request(format!("spec.expirationSeconds: {error}")))?;
    let token = secret();
    let user = User {
        name: format!("system:serviceaccount:{namespace}:{name}"),
        groups: vec!["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")],
    };
    let pass = Pass {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: text(&account, "uid").unwrap_or_default().to_owned(),
        expires,
    };
    caller.hooks.users.lend(token.clone(), user, pass);
    let stamp = |moment: jiff::Timestamp| moment.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    Ok(json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "metadata": { "name": name, "namespace": namespace, "creationTimestamp": stamp(now) },
        "spec": { "audiences": [AUDIENCE], "expirationSeconds": seconds, "boundObjectRef": null },
        "status": { "token": token, "expirationTimestamp": stamp(expires) },
    }))
}

/// As a real server allows it: ten minutes to 2^32 seconds.
fn lasting(wanted: &Json) -> Result<i64, ApiError> {
    let seconds = match wanted.pointer("/spec/expirationSeconds").filter(|seconds| !seconds.is_null()) {
        None => return Ok(LASTING),
        Some(seconds) => seconds.as_i64().ok_or_else(|| {
            ApiError::bad_request(format!("spec.expirationSeconds of a TokenRequest is no number: {seconds}"))
        })?,
    };
    let why = match seconds {
        ..600 => "may not specify a duration less than 10 minutes",
        600..=0x1_0000_0000 => return Ok(seconds),
        _ => "may not specify a duration larger than 2^32 seconds",
    };
    let message = format!("Invalid value: {seconds}: {why}");
    let details = json!({
        "group": "authentication.k8s.io",
        "kind": "TokenRequest",
        "causes": [{ "reason": "FieldValueInvalid", "message": message, "field": "spec.expirationSeconds" }],
    });
    let message = format!("TokenRequest.authentication.k8s.io \"\" is invalid: spec.expirationSeconds: {message}");
    Err(ApiError::new(422, "Invalid", message).with(details))
}

fn missing(what: &str) -> ApiError {
    ApiError::not_implemented(format!("create of serviceaccounts/token (core/v1) is served here without {what}"))
}

/// Nobody guesses it: it opens a door to other processes too, so it follows from no seed.
fn secret() -> String {
    let word = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", word(), word())
}
