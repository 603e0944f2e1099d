//! Endpoints: the phones of a tenant, `101` in the tenant, `acme-101` in Asterisk.

pub mod store;
