//! A request's way: who asks, what for, the gate, the server, the log, the gate again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, USER_AGENT};
use http::request::Parts;
use http::{Request as HttpRequest, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use serde_json::{Value as Json, json};

use super::body::Body;
use super::caller::Caller;
use super::gate::{RequestLine, Verdict};
use super::media::{self, Form, Shape};
use super::render::{self, Wish, document};
use super::table::Include;
use super::target::{self, Place, Resource, Target};
use super::{discovery, json as reader, protobuf, query, relay, reviews, token};
use crate::access;
use crate::error::ApiError;
use crate::kinds::NAMESPACE;
use crate::request::{FieldValidation, PatchType, Request, User, Verb};

/// How large a body may be.
const LIMIT: usize = 3 * 1024 * 1024;

/// How long a watch lasts when its client doesn't say.
const WATCH: Duration = Duration::from_secs(45 * 60);

/// Answers one request; an error breaks the connection.
pub(super) async fn handle(caller: Arc<Caller>, request: HttpRequest<Incoming>) -> io::Result<Response<Body>> {
    let user = match caller.hooks.users.identify(request.headers(), &caller.stranger, &caller.server) {
        Ok(user) => user,
        Err(refusal) => return Ok(render::error(&refusal)),
    };
    let target = target::find(request.uri().path()).filter(|target| match target {
        Target::Objects(Resource { kind, .. }) => caller.server.has(kind),
        _ => true,
    });
    let line = Arc::new(line(&request, target.as_ref(), user));
    let gate = caller.hooks.gate.as_ref();
    let verdict = match gate {
        Some(gate) => gate.on_request(&line).await,
        None => Verdict::Pass,
    };
    let response = match verdict {
        Verdict::Pass => answer(&caller, &line, target, request).await.unwrap_or_else(|error| render::error(&error)),
        other => overrule(other).await?,
    };
    let code = response.status().as_u16();
    if let Some(log) = &caller.hooks.log {
        log.add(&line, code);
    }
    let verdict = match gate {
        Some(gate) => gate.on_response(&line, code).await,
        None => Verdict::Pass,
    };
    if verdict == Verdict::Pass { Ok(response) } else { overrule(verdict).await }
}

/// What a gate makes of a request instead of passing it.
async fn overrule(verdict: Verdict) -> io::Result<Response<Body>> {
    match verdict {
        Verdict::Answer(error) => Ok(render::error(&error)),
        Verdict::Hang => std::future::pending().await,
        Verdict::Reset | Verdict::Pass => Err(io::ErrorKind::ConnectionReset.into()),
    }
}

fn line(request: &HttpRequest<Incoming>, target: Option<&Target>, user: User) -> RequestLine {
    let asked = request.uri().query().unwrap_or_default();
    let flag = |name: &str| query::pairs(asked).find(|(key, _)| key == name).map(|(_, value)| value);
    let place = target.and_then(Target::place);
    let verb = match target {
        Some(Target::Document) | None => "get",
        _ => {
            let watches = flag("watch").is_some_and(|value| query::truth(&value));
            let has_name = place.is_some_and(|place| place.name.is_some());
            target::verb(request.method(), has_name, watches).unwrap_or_default()
        }
    };
    let (group, resource) = match (target, place) {
        (Some(Target::Review { group, plural }), _) => ((*group).to_owned(), (*plural).to_owned()),
        (_, Some(place)) => (place.group.clone(), place.plural.clone()),
        _ => Default::default(),
    };
    RequestLine {
        method: request.method().clone(),
        uri: request.uri().path_and_query().map_or_else(String::new, ToString::to_string),
        user,
        user_agent: request
            .headers()
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
        verb,
        group,
        resource,
        subresource: place.and_then(|place| place.subresource.clone()),
        namespace: place.and_then(|place| place.namespace.clone()),
        name: place.and_then(|place| place.name.clone()),
        dry_run: flag("dryRun").is_some_and(|stages| !stages.is_empty()),
    }
}

async fn answer(
    caller: &Caller,
    line: &RequestLine,
    target: Option<Target>,
    request: HttpRequest<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let server = &caller.server;
    if request.headers().contains_key("impersonate-user") {
        return Err(ApiError::not_implemented("impersonation (Impersonate-User) is not served here"));
    }
    match target {
        None => {
            refuse_strangers(line)?;
            Ok(render::text(404, "404 page not found\n"))
        }
        Some(Target::Document) => {
            let path = line.path();
            if !matches!(path, "/version" | "/healthz" | "/livez" | "/readyz") {
                refuse_strangers(line)?;
            }
            let shape = media::shape(request.headers()).unwrap_or(Shape::Plain);
            let found = discovery::find(server, path, shape);
            Ok(found.unwrap_or_else(|| render::text(404, "404 page not found\n")))
        }
        Some(Target::NoSuchPart(Resource { kind, place })) => {
            refuse_strangers(line)?;
            // Of kinds of a CRD it is the object that is not found.
            if let (true, Some(name)) = (kind.custom, place.name) {
                let message = format!("{} {name:?} not found", kind.resource());
                let details = json!({ "name": name, "group": kind.group, "kind": kind.plural });
                return Err(ApiError::new(404, "NotFound", message).with(details));
            }
            let message = "the server could not find the requested resource";
            Err(ApiError::new(404, "NotFound", message).with(json!({})))
        }
        Some(Target::Missing(place)) => Err(missing(line.verb, &place)),
        Some(Target::Review { plural, .. }) => {
            refuse_strangers(line)?;
            if line.verb != "create" {
                return Err(not_allowed());
            }
            let form = media::form(request.headers())?;
            let (_, body) = read(request).await?;
            let review = parse(&body, form)?;
            Ok(document(201, &reviews::answer(server, &line.user, plural, review.value)?))
        }
        Some(Target::Objects(Resource { kind, place })) => {
            if kind.name == "Pod"
                && let (Some(namespace), Some(name), Some(subresource @ ("portforward" | "log"))) =
                    (&place.namespace, &place.name, place.subresource.as_deref())
            {
                let place = (namespace.as_str(), name.as_str(), subresource);
                return relay::call(server, &caller.hooks, &line.user, place, request).await;
            }
            if kind.name == "ServiceAccount"
                && let (Some(namespace), Some(name), Some("token")) =
                    (&place.namespace, &place.name, place.subresource.as_deref())
            {
                if line.verb != "create" {
                    return Err(not_allowed());
                }
                token::allow(server, line, namespace, name)?;
                let form = media::form(request.headers())?;
                let (_, body) = read(request).await?;
                let wanted = parse(&body, form)?.value;
                return Ok(document(201, &token::make(caller, line, (namespace, name), &wanted)?));
            }
            let shape = media::shape(request.headers())?;
            let (parts, body) = read(request).await?;
            let request = objects(&parts, &body, line, Resource { kind, place })?;
            let query = parts.uri.query().unwrap_or_default();
            let wish = Wish {
                kind,
                shape,
                rows: Include::of(query),
                clock: server.clock().clone(),
                lasts: request.parameters.timeout_seconds.filter(|s| *s > 0).map_or(WATCH, Duration::from_secs),
            };
            Ok(render::answer(server.call(request)?, wish))
        }
    }
}

/// The request about objects that stands in these parts.
fn objects(parts: &Parts, body: &[u8], line: &RequestLine, resource: Resource) -> Result<Request, ApiError> {
    let Resource { kind, place } = resource;
    let asked = parts.uri.query().unwrap_or_default();
    let verb = match line.verb {
        "get" => Verb::Get,
        "list" => Verb::List,
        "watch" => Verb::Watch,
        "create" if place.name.is_none() || place.subresource.is_some() => Verb::Create,
        "update" if place.name.is_some() => Verb::Update,
        "patch" if place.name.is_some() => Verb::Patch(media::patch(&parts.headers, kind)?),
        "delete" if place.subresource.is_none() => Verb::Delete,
        // A real server deletes only one namespace at a time.
        "deletecollection" if kind == &NAMESPACE => return Err(not_allowed()),
        "deletecollection" if place.namespace.is_some() || !kind.namespaced => Verb::DeleteCollection,
        _ => return Err(not_allowed()),
    };
    query::check(asked, verb)?;
    let mut parameters = query::read(asked, verb, &line.user_agent)?;
    let writes = !matches!(verb, Verb::Get | Verb::List | Verb::Watch);
    let (mut value, mut duplicates) = (Json::Null, Vec::new());
    if writes && !body.is_empty() {
        let parsed = match verb {
            Verb::Patch(PatchType::Apply) => reader::parse(body).map_err(|error| {
                media::unsupported(&format!("JSON inside application/apply-patch+yaml; this is none: {error}"))
            })?,
            Verb::Patch(_) => parse(body, Form::Json)?,
            _ => parse(body, media::form(&parts.headers)?)?,
        };
        (value, duplicates) = (parsed.value, parsed.duplicates);
    }
    if matches!(verb, Verb::Delete | Verb::DeleteCollection) && !value.is_null() {
        query::delete_options(&mut parameters, &value)?;
        (value, duplicates) = (Json::Null, Vec::new());
    }
    if parameters.field_validation == FieldValidation::Ignore {
        duplicates.clear();
    }
    Ok(Request {
        user: line.user.clone(),
        verb,
        kind,
        namespace: place.namespace,
        name: place.name,
        subresource: place.subresource,
        parameters,
        body: value,
        duplicates,
    })
}

async fn read(request: HttpRequest<Incoming>) -> Result<(Parts, Bytes), ApiError> {
    let (parts, body) = request.into_parts();
    let stated = parts.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if stated.is_some_and(|length| length > LIMIT) {
        return Err(too_large());
    }
    match Limited::new(body, LIMIT).collect().await {
        Ok(body) => Ok((parts, body.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(ApiError::bad_request(format!("the body of the request broke off: {error}"))),
    }
}

fn parse(body: &[u8], form: Form) -> Result<reader::Parsed, ApiError> {
    if form == Form::Protobuf {
        let value = protobuf::object(body).ok_or_else(|| media::unsupported("application/json"))?;
        return Ok(reader::Parsed { value, duplicates: Vec::new() });
    }
    reader::parse(body).map_err(|error| {
        ApiError::bad_request(format!("the object provided is unrecognized (must be of type JSON): {error}"))
    })
}

fn too_large() -> ApiError {
    let message = format!("Request entity too large: limit is {LIMIT}");
    ApiError::new(413, "RequestEntityTooLarge", message)
}

fn not_allowed() -> ApiError {
    let message = "the server does not allow this method on the requested resource";
    ApiError::new(405, "MethodNotAllowed", message)
}

/// Documents are for those who are known.
fn refuse_strangers(line: &RequestLine) -> Result<(), ApiError> {
    let user = &line.user;
    if access::is_master(user) || user.groups.iter().any(|group| group == "system:authenticated") {
        return Ok(());
    }
    let path = line.path();
    let verb = line.method.as_str().to_lowercase();
    let message = format!("forbidden: User {:?} cannot {verb} path {path:?}", user.name);
    Err(ApiError::new(403, "Forbidden", message).with(json!({})))
}

fn missing(verb: &str, place: &Place) -> ApiError {
    let Place { group, version, plural, subresource, .. } = place;
    let group = if group.is_empty() { "core" } else { group };
    let subresource = subresource.as_ref().map(|subresource| format!("/{subresource}")).unwrap_or_default();
    ApiError::not_implemented(format!("{verb} of {plural}{subresource} ({group}/{version}) is not served here"))
}
