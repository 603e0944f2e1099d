//! The one door for every URL that a tenant wrote: what may be reached ([`guard`]) and how ([`client`]).
//!
//! Invariant: no other module opens a connection to an address that a tenant chose.

pub mod client;
mod connect;
pub mod guard;
mod url;

pub use client::{Answer, Ask, Client, Error, Longer};
pub use guard::{Guard, Refusal};
pub use url::{OutgoingUrl, UrlError};
