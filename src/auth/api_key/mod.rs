//! API keys: how machines log in. A key belongs to a tenant, acts with a role, within scopes, until it expires or is
//! revoked. Only its hash is stored; its checksum tells a typing error, and whoever scans code for leaked keys, without
//! the database.

mod cache;
pub mod store;
mod text;

use crate::base::ids::{Id, TenantId};
use crate::base::role::Role;

pub use crate::api::scope::{Access, Scope, Scopes, ScopesError};
pub use cache::ApiKeys;
pub use text::{is_well_formed, make, shown};

/// A key as a request meets it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its row.
    pub id: Id,
    /// The tenant it acts in.
    pub tenant: TenantId,
    /// Its name for people.
    pub name: String,
    /// What it may be at most.
    pub role: Role,
    /// What it may do of that.
    pub scopes: Scopes,
    /// Its end, microseconds; `None`: none.
    pub expires_us: Option<i64>,
    pub(super) revoked: bool,
    pub(super) last_used_us: i64,
}

impl ApiKey {
    /// Whether it opens anything at this moment.
    pub fn is_valid(&self, now_us: i64) -> bool {
        !self.revoked && self.expires_us.is_none_or(|end| now_us < end)
    }
}
