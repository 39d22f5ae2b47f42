//! Who speaks over a connection, and with whom.

use super::Hooks;
use crate::request::User;
use crate::server::ApiServer;

/// What stands behind a connection.
pub(super) struct Caller {
    pub(super) server: ApiServer,
    pub(super) hooks: Hooks,
    /// Who sends no token.
    pub(super) stranger: User,
}
