//! Who may connect: bearer tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use http::header::AUTHORIZATION;
use jiff::Timestamp;

use crate::error::ApiError;
use crate::kinds::SERVICE_ACCOUNT;
use crate::request::User;
use crate::server::ApiServer;
use crate::store::{key, text};

/// The bearer tokens that are known. Copies are the same table; tokens come and go at run time.
#[derive(Debug, Clone, Default)]
pub struct Users(Arc<Mutex<BTreeMap<String, Known>>>);

#[derive(Debug, Clone)]
struct Known {
    user: User,
    /// What ends it by itself.
    pass: Option<Pass>,
}

/// What a token of a ServiceAccount hangs on.
#[derive(Debug, Clone)]
pub(super) struct Pass {
    pub(super) namespace: String,
    pub(super) name: String,
    /// An account that is made anew under the same name is another.
    pub(super) uid: String,
    pub(super) expires: Timestamp,
}

impl Pass {
    fn holds(&self, server: &ApiServer) -> bool {
        let account = key(Some(&self.namespace), &self.name);
        let account = server.with_store(|store| store.get(&SERVICE_ACCOUNT, &account));
        server.clock().now() < self.expires
            && account.is_some_and(|account| text(&account, "uid") == Some(self.uid.as_str()))
    }
}

impl Users {
    /// A table without tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, who shows the token is the user.
    pub fn insert(&self, token: impl Into<String>, user: User) {
        self.put(token.into(), Known { user, pass: None });
    }

    /// The same, as long as the pass holds.
    pub(super) fn lend(&self, token: String, user: User, pass: Pass) {
        self.put(token, Known { user, pass: Some(pass) });
    }

    fn put(&self, token: String, known: Known) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token, known);
    }

    /// From now on, who shows the token is refused.
    pub fn remove(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }

    /// Whose token it is.
    fn find(&self, token: &str, server: &ApiServer) -> Option<User> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()?;
        if known.pass.is_some_and(|pass| !pass.holds(server)) {
            self.remove(token);
            return None;
        }
        Some(known.user)
    }

    /// Who sends these headers; without any credentials, `stranger`.
    pub(super) fn identify(&self, headers: &HeaderMap, stranger: &User, server: &ApiServer) -> Result<User, ApiError> {
        let Some(credentials) = headers.get(AUTHORIZATION) else { return Ok(stranger.clone()) };
        let credentials = credentials.to_str().unwrap_or_default();
        credentials
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| self.find(token.trim(), server))
            .map(|mut user| {
                user.groups.push("system:authenticated".to_owned());
                user
            })
            .ok_or_else(|| ApiError::new(401, "Unauthorized", "Unauthorized"))
    }
}

/// Who shows no credentials where they are asked for.
pub(super) fn anonymous() -> User {
    User { name: "system:anonymous".to_owned(), groups: vec!["system:unauthenticated".to_owned()] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Options;

    #[test]
    fn a_removed_token_is_unknown_at_once() {
        let clock = clock::Clock::machine();
        let server = ApiServer::new(Options { name: "one".to_owned(), clock, seed: 1, custom_kinds: false });
        let users = Users::new();
        users.insert("t1", User { name: "jane".to_owned(), groups: Vec::new() });
        let mut headers = HeaderMap::new();
        assert_eq!(users.identify(&headers, &anonymous(), &server).unwrap().name, "system:anonymous");
        headers.insert(AUTHORIZATION, "Bearer t1".parse().unwrap());
        let jane = users.identify(&headers, &anonymous(), &server).unwrap();
        assert_eq!((jane.name.as_str(), jane.groups[0].as_str()), ("jane", "system:authenticated"));
        users.clone().remove("t1");
        assert_eq!(users.identify(&headers, &anonymous(), &server).unwrap_err().code, 401);
    }
}
