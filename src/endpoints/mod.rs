//! Endpoints: the phones of a tenant, `101` in the tenant, `acme-101` in Asterisk; and what Asterisk reads of them.

pub mod api;
pub mod ara;
mod ara_read;
mod ara_store;
pub mod registrations;
pub mod store;
mod trunks;

pub(crate) use api::introduce;
pub use api::{ENDPOINT, Template};
pub use ara::{PsAor, PsAuth, PsContact, PsEndpoint};
pub use ara_read::{CONTACT, Kind, Row, registrations, registrations_behind, row, rows_behind};
pub(crate) use ara_store::{Phone, remove as forget};
pub use trunks::all as trunk_addresses;
