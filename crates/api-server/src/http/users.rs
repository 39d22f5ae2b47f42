//! Who may connect: bearer tokens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use http::header::AUTHORIZATION;

use crate::error::ApiError;
use crate::request::User;

/// The bearer tokens that are known. Copies are the same table; tokens come and go at run time.
#[derive(Debug, Clone, Default)]
pub struct Users(Arc<Mutex<BTreeMap<String, User>>>);

impl Users {
    /// A table without tokens.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on, who shows the token is the user.
    pub fn insert(&self, token: impl Into<String>, user: User) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(token.into(), user);
    }

    /// From now on, who shows the token is refused.
    pub fn remove(&self, token: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(token);
    }

    /// Whose token it is.
    #[must_use]
    pub fn find(&self, token: &str) -> Option<User> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(token).cloned()
    }

    /// Who sends these headers; without any credentials, `stranger`.
    pub(super) fn identify(&self, headers: &HeaderMap, stranger: &User) -> Result<User, ApiError> {
        let Some(credentials) = headers.get(AUTHORIZATION) else { return Ok(stranger.clone()) };
        let credentials = credentials.to_str().unwrap_or_default();
        credentials
            .split_once(' ')
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .and_then(|(_, token)| self.find(token.trim()))
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

    #[test]
    fn a_removed_token_is_unknown_at_once() {
        let users = Users::new();
        users.insert("t1", User { name: "jane".to_owned(), groups: Vec::new() });
        let mut headers = HeaderMap::new();
        assert_eq!(users.identify(&headers, &anonymous()).unwrap().name, "system:anonymous");
        headers.insert(AUTHORIZATION, "Bearer t1".parse().unwrap());
        let jane = users.identify(&headers, &anonymous()).unwrap();
        assert_eq!((jane.name.as_str(), jane.groups[0].as_str()), ("jane", "system:authenticated"));
        users.clone().remove("t1");
        assert_eq!(users.identify(&headers, &anonymous()).unwrap_err().code, 401);
    }
}
