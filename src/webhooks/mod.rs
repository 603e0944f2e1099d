//! Webhooks: events and calls that are told to a tenant's own servers.

pub mod sign;
