//! GET, LIST and WATCH.

use std::collections::VecDeque;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};

use super::{Call, State};
use crate::error::ApiError;
use crate::request::Answer;
use crate::selector::Selector;
use crate::store::{Change, Subject, Watch, expired};

impl Call<'_> {
    pub(super) fn get(&self, state: &State) -> Result<Answer, ApiError> {
        let found = state.store.get(self.request.kind, &self.key()).ok_or_else(|| self.not_found(self.name()))?;
        Ok(Answer::Object { object: found, created: false, warnings: Vec::new() })
    }

    fn selector(&self) -> Result<Selector, ApiError> {
        let parameters = &self.request.parameters;
        Selector::parse(self.request.kind, parameters.label_selector.as_deref(), parameters.field_selector.as_deref())
    }

    fn version_asked(&self, state: &State) -> Result<Option<u64>, ApiError> {
        let Some(text) = self.request.parameters.resource_version.as_deref().filter(|text| !text.is_empty()) else {
            return Ok(None);
        };
        let version: u64 = text.parse().map_err(|_| {
            ApiError::bad_request(format!(
                "resourceVersion: Invalid value: {text:?}: strconv.ParseUint: parsing {text:?}: invalid syntax"
            ))
        })?;
        if version > state.store.version() {
            let message = format!("Too large resource version: {version}, current: {}", state.store.version());
            let causes = json!({ "causes": [{ "reason": "ResourceVersionTooLarge", "message": "Too large resource version" }], "retryAfterSeconds": 1 });
            return Err(ApiError::new(504, "Timeout", message).with(causes));
        }
        Ok(Some(version))
    }

    pub(super) fn list(&self, state: &State) -> Result<Answer, ApiError> {
        let parameters = &self.request.parameters;
        let selector = self.selector()?;
        let limit = parameters.limit.filter(|limit| *limit > 0);
        let token = parameters.continue_from.as_deref().filter(|token| !token.is_empty());
        let (version, after) = match token {
            Some(token) => {
                let (version, after) = read_token(token)?;
                (Some(version), Some(after))
            }
            None => {
                let exact = parameters.resource_version_match.as_deref() == Some("Exact");
                (self.version_asked(state)?.filter(|_| exact), None)
            }
        };
        let current = state.store.version();
        let objects: Vec<(String, Arc<Json>)> = match version.filter(|version| *version < current) {
            Some(version) => state.store.list_at(self.request.kind, self.namespace(), version)?,
            None => state
                .store
                .list(self.request.kind, self.namespace())
                .map(|(key, object)| (key.to_owned(), Arc::clone(object)))
                .collect(),
        };
        let resource_version = version.unwrap_or(current);
        let mut found = objects
            .into_iter()
            .filter(|(key, _)| after.as_ref().is_none_or(|after| key > after))
            .filter(|(_, object)| selector.matches(object));
        let Some(limit) = limit else {
            let items = found.map(|(_, object)| object).collect();
            return Ok(Answer::List { items, resource_version, more: None });
        };
        let page: Vec<(String, Arc<Json>)> = found.by_ref().take(limit).collect();
        let left = found.count() as u64;
        let more = page.last().filter(|_| left > 0).map(|(last, _)| (token_of(resource_version, last), left));
        let items = page.into_iter().map(|(_, object)| object).collect();
        Ok(Answer::List { items, resource_version, more })
    }

    pub(super) fn watch(&self, state: &State) -> Result<Answer, ApiError> {
        let parameters = &self.request.parameters;
        let subject = Subject {
            kind: self.request.kind,
            namespace: self.request.namespace.clone(),
            selector: self.selector()?,
            bookmarks: parameters.bookmarks,
        };
        let mut pending = VecDeque::new();
        let asked = self.version_asked(state);
        let current = state.store.version();
        let initial = match asked {
            Ok(None | Some(0)) => true,
            Ok(Some(_)) => parameters.send_initial_events,
            Err(error) => {
                pending.push_back(Change::Error(error));
                false
            }
        };
        let mut position = self.version_asked(state).ok().flatten().filter(|_| !initial).unwrap_or(current);
        if initial {
            let objects = state.store.list(self.request.kind, self.namespace());
            let matching = objects.map(|(_, object)| object).filter(|object| subject.selector.matches(object));
            pending.extend(matching.map(|object| Change::Added(Arc::clone(object))));
            if parameters.send_initial_events {
                pending.push_back(Change::Bookmark { resource_version: current, initial: true });
            }
        } else if position < state.store.compacted() {
            let message = format!("too old resource version: {position} ({})", state.store.compacted());
            pending.push_back(Change::Error(expired(message)));
            position = current;
        }
        // Dropping the lock before the watch reads is not needed: it reads later.
        let watch = Watch::new(self.server.clone(), subject, position, pending, state.store.news());
        Ok(Answer::Watch(watch))
    }
}

fn token_of(version: u64, last: &str) -> String {
    URL_SAFE_NO_PAD.encode(json!({ "v": "meta.k8s.io/v1", "rv": version, "start": last }).to_string())
}

fn read_token(token: &str) -> Result<(u64, String), ApiError> {
    let read = || -> Option<(u64, String)> {
        let token: Json = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        Some((token.get("rv")?.as_u64()?, token.get("start")?.as_str()?.to_owned()))
    };
    read().ok_or_else(|| ApiError::bad_request("invalid continue token: continue key is not valid"))
}
