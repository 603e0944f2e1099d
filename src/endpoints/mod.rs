//! Endpoints: the phones of a tenant, `101` in the tenant, `acme-101` in Asterisk; and what Asterisk reads of them.

pub mod api;
pub mod ara;
mod ara_store;
pub mod store;

pub use api::ENDPOINT;
pub(crate) use api::introduce;
pub use ara::{PsAor, PsAuth, PsContact, PsEndpoint};
pub(crate) use ara_store::{Phone, remove as forget};
