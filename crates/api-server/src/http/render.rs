//! Answers as bytes.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use futures::stream;
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER, WARNING};
use http::{Response, StatusCode};
use hyper::body::Bytes;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value as Json, json};
use tokio::time::Instant;

use super::body::{self, Body};
use super::media::Shape;
use super::table;
use crate::error::ApiError;
use crate::kinds::Kind;
use crate::request::Answer;
use crate::store::{Change, Watch};

/// How an answer is wanted.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) kind: &'static Kind,
    pub(super) shape: Shape,
    /// What rows of tables carry.
    pub(super) rows: table::Include,
    /// What ages in tables are reckoned by.
    pub(super) clock: Clock,
    /// How long a watch lasts.
    pub(super) lasts: Duration,
}

/// A document.
pub(super) fn document(code: u16, value: &impl Serialize) -> Response<Body> {
    let mut response = Response::new(body::full(bytes(value)));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Plain text.
pub(super) fn text(code: u16, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// A refusal.
pub(super) fn error(error: &ApiError) -> Response<Body> {
    let mut response = document(error.code, &error.status());
    warn(&mut response, &error.warnings);
    // Clients that retry by themselves, such as kubectl, go by the header; it says what the details do.
    if let Some(seconds) = error.details["retryAfterSeconds"].as_u64() {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    response
}

fn warn(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"").replace(['\n', '\r'], " ");
        if let Ok(value) = HeaderValue::try_from(format!("299 - \"{quoted}\"")) {
            response.headers_mut().append(WARNING, value);
        }
    }
}

/// What a request led to.
pub(super) fn answer(answer: Answer, wish: Wish) -> Response<Body> {
    match answer {
        Answer::Object { object, created, warnings } => {
            let code = if created { 201 } else { 200 };
            let is_status = object.get("kind").is_some_and(|kind| kind == "Status");
            let mut response = match wish.shape {
                Shape::Table if !is_status => document(code, &wish.table(&[object], true, Json::Null)),
                Shape::Metadata if !is_status => document(code, &table::metadata(&object)),
                _ => document(code, &*object),
            };
            warn(&mut response, &warnings);
            response
        }
        Answer::List { items, resource_version, more } => {
            let mut metadata = json!({ "resourceVersion": resource_version.to_string() });
            if let Some((next, left)) = more {
                metadata["continue"] = next.into();
                metadata["remainingItemCount"] = left.into();
            } else if wish.kind.custom {
                metadata["continue"] = "".into();
            }
            match wish.shape {
                Shape::Table => document(200, &wish.table(&items, true, metadata)),
                Shape::Metadata => {
                    let items: Vec<Json> = items.iter().map(|item| table::metadata(item)).collect();
                    let (kind, api_version) = ("PartialObjectMetadataList", "meta.k8s.io/v1");
                    let list = json!({
                        "kind": kind, "apiVersion": api_version, "metadata": metadata, "items": items,
                    });
                    document(200, &list)
                }
                _ => document(200, &List { kind: wish.kind, metadata, items: &items }),
            }
        }
        Answer::Watch(watch) => {
            let mut response = Response::new(body::streamed(events(watch, wish)));
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            response
        }
    }
}

/// The envelope of a collection.
struct List<'a> {
    kind: &'static Kind,
    metadata: Json,
    items: &'a [Arc<Json>],
}

impl Serialize for List<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let items: Vec<Item<'_>> = self.items.iter().map(|item| Item { item, typed: self.kind.custom }).collect();
        let mut map = to.serialize_map(Some(4))?;
        map.serialize_entry("kind", &format_args!("{}List", self.kind.name))?;
        map.serialize_entry("apiVersion", &self.kind.api_version())?;
        map.serialize_entry("metadata", &self.metadata)?;
        map.serialize_entry("items", &items)?;
        map.end()
    }
}

/// An item of a collection. A real server's own kinds lack their type there, those of CRDs have it.
struct Item<'a> {
    item: &'a Json,
    typed: bool,
}

impl Serialize for Item<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        match self.item.as_object() {
            Some(object) if !self.typed => {
                to.collect_map(object.iter().filter(|(key, _)| !matches!(key.as_str(), "kind" | "apiVersion")))
            }
            _ => self.item.serialize(to),
        }
    }
}

#[derive(serde::Serialize)]
struct Event<'a, O: Serialize> {
    r#type: &'a str,
    object: O,
}

fn line(r#type: &str, object: impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(&Event { r#type, object }).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

fn bytes(value: &impl Serialize) -> Vec<u8> {
    // Serializing JSON values into memory can't fail.
    serde_json::to_vec(value).unwrap_or_default()
}

/// Whether the heads of a watch's table were sent, and whether the watch is over.
struct Progress {
    watch: Watch,
    wish: Wish,
    ends: Instant,
    heads: bool,
    over: bool,
}

fn events(watch: Watch, wish: Wish) -> impl stream::Stream<Item = Bytes> + Send + 'static {
    let ends = Instant::now() + wish.lasts;
    stream::unfold(Progress { watch, wish, ends, heads: true, over: false }, |mut progress| async move {
        if progress.over {
            return None;
        }
        let change = tokio::select! {
            biased;
            change = progress.watch.next() => change?,
            () = tokio::time::sleep_until(progress.ends) => return None,
        };
        progress.over = matches!(change, Change::Error(_));
        let piece = progress.wish.event(change, progress.heads);
        progress.heads = false;
        Some((piece, progress))
    })
}

impl Wish {
    fn table(&self, items: &[Arc<Json>], heads: bool, metadata: Json) -> Json {
        table::render(self.kind, items, heads, self.rows, &self.clock, metadata)
    }

    fn event(&self, change: Change, heads: bool) -> Bytes {
        let (name, object) = match change {
            Change::Added(object) => ("ADDED", object),
            Change::Modified(object) => ("MODIFIED", object),
            Change::Deleted(object) => ("DELETED", object),
            Change::Bookmark { resource_version, initial } => {
                return line("BOOKMARK", self.bookmark(resource_version, initial));
            }
            Change::Error(error) => return line("ERROR", error.status()),
        };
        match self.shape {
            Shape::Table => line(name, self.table(&[object], heads, Json::Null)),
            Shape::Metadata => line(name, table::metadata(&object)),
            _ => line(name, &*object),
        }
    }

    fn bookmark(&self, resource_version: u64, initial: bool) -> Json {
        let mut metadata = json!({ "resourceVersion": resource_version.to_string(), "creationTimestamp": null });
        if initial {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        match self.shape {
            Shape::Table => self.table(&[], false, metadata),
            Shape::Metadata => {
                json!({ "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata })
            }
            _ => json!({ "kind": self.kind.name, "apiVersion": self.kind.api_version(), "metadata": metadata }),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::kinds::{HTTP_ROUTE, POD};

    fn wish(kind: &'static Kind, shape: Shape) -> Wish {
        let lasts = Duration::from_secs(60);
        Wish { kind, shape, rows: table::Include::Metadata, clock: Clock::machine(), lasts }
    }

    async fn read(response: Response<Body>) -> Json {
        serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }

    #[tokio::test]
    async fn warnings_stand_in_headers() {
        let object = Arc::new(json!({ "kind": "Pod" }));
        let warnings = vec!["unknown field \"spec.x\"".to_owned()];
        let response = answer(Answer::Object { object, created: true, warnings }, wish(&POD, Shape::Plain));
        assert_eq!(response.status(), 201);
        assert_eq!(response.headers()[WARNING], r#"299 - "unknown field \"spec.x\"""#);
    }

    #[test]
    fn who_is_to_come_again_is_told_when() {
        let busy = ApiError::new(429, "TooManyRequests", "busy").with(json!({ "retryAfterSeconds": 10 }));
        assert_eq!(error(&busy).headers()[RETRY_AFTER], "10");
        assert!(!error(&ApiError::new(429, "TooManyRequests", "busy")).headers().contains_key(RETRY_AFTER));
    }

    #[tokio::test]
    async fn items_of_lists_lack_their_type_unless_a_crd_defines_it() {
        for (kind, typed) in [(&POD, false), (&HTTP_ROUTE, true)] {
            let items = vec![Arc::new(json!({ "kind": kind.name, "apiVersion": kind.api_version(), "metadata": {} }))];
            let list = Answer::List { items, resource_version: 7, more: Some(("next".to_owned(), 3)) };
            let list = read(answer(list, wish(kind, Shape::Plain))).await;
            assert_eq!(list["kind"], format!("{}List", kind.name));
            assert_eq!(
                list["metadata"],
                json!({ "resourceVersion": "7", "continue": "next", "remainingItemCount": 3 })
            );
            assert_eq!(list["items"][0].get("kind").is_some(), typed);
        }
    }

    #[test]
    fn the_end_of_the_initial_events_is_marked() {
        let line = wish(&POD, Shape::Plain).event(Change::Bookmark { resource_version: 9, initial: true }, true);
        let event: Json = serde_json::from_slice(&line).unwrap();
        assert_eq!(event["type"], "BOOKMARK");
        assert_eq!(event["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"], "true");
        assert_eq!(event["object"]["metadata"]["resourceVersion"], "9");
        assert_eq!(line.last(), Some(&b'\n'));
    }
}
