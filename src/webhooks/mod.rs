//! Webhooks: a tenant's endpoints get its events as signed requests ([Standard Webhooks](https://www.standardwebhooks.com)).
//!
//! 1. [`fan_out`] reads new events and makes a delivery for each endpoint that wants them, in the transaction that moves
//!    the tenant's cursor: each event is handed out once, by whichever process comes first. An endpoint that takes no more
//!    gets none: it is behind, the stream is its queue, and [`catch_up`] makes its deliveries when it takes some again.
//! 2. [`desk`] holds what is due, and decides what is sent next: fresh before troubled, each endpoint its own share, a
//!    failing one only probed.
//! 3. [`send`] makes one attempt. [`record`] writes results, many in one transaction; a retry is a row with a time.
//!
//! Invariants: a delivery is finished only by a row that says so, so `kill -9` sends again and never forgets. The
//! `webhook-id` is the event's id, whatever is sent how often. With `ordered`, of each key only one delivery is pending;
//! those behind it wait until it is finished.

pub mod api;
pub mod catch_up;
pub mod desk;
pub mod endpoint;
pub mod fan_out;
pub mod keep;
pub mod record;
pub mod schedule;
pub mod send;
pub mod sign;
pub mod store;

use std::sync::Arc;

use crate::api::Field;
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource};
use crate::base::role::Roles;
use crate::base::words::words;
use crate::db::Db;
use crate::events::{Data, Events, Kind};
use crate::outgoing::Client;

words! {
    /// Whether an endpoint gets anything.
    pub enum WebhookStatus {
        /// It does.
        Active = "active",
        /// What comes waits in the stream.
        Paused = "paused",
        /// Nothing is kept for it: it said 410, or only failed for five days.
        Disabled = "disabled",
    }
}

words! {
    /// How far a delivery is.
    pub enum DeliveryStatus {
        /// It is sent as soon as it is due.
        Pending = "pending",
        /// One of the same key is before it.
        Waiting = "waiting",
        /// It was taken.
        Delivered = "delivered",
        /// All attempts failed.
        Failed = "failed",
        /// The endpoint was disabled or deleted.
        Cancelled = "cancelled",
    }
}

words! {
    /// Why a delivery was made.
    pub enum Cause {
        /// An event.
        Event = "event",
        /// Somebody wanted to see whether it works.
        Test = "test",
        /// Somebody wanted it once more.
        Resend = "resend",
        /// Somebody wanted what had failed, or a range.
        Recover = "recover",
    }
}

/// What delivering needs.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// Opens sealed secrets.
    pub auth: Arc<crate::auth::Auth>,
    /// New events, and whoever must hear of a disabled endpoint.
    pub events: Arc<Events>,
    /// The guarded way out.
    pub client: Client,
    /// This process.
    pub node: Id,
    /// What is counted.
    pub stats: Arc<desk::Stats>,
}

/// The type of event that a test sends.
pub fn test_kind() -> Kind {
    static DATA: [Field; 1] = [Field::id("webhook_id", "The endpoint.").server()];
    Kind {
        name: "webhook.test".into(),
        doc: "Somebody tests an endpoint; only that endpoint gets it.".into(),
        key: "webhook:<webhook_id>".into(),
        data: Data::Fields("WebhookTest", &DATA),
        readers: Roles::ADMINS,
        own: None,
        chapter: "webhooks".into(),
    }
}

/// One delivery on its way.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// Its id.
    pub id: Id,
    /// The endpoint.
    pub webhook: Id,
    /// The event, as it is sent.
    pub event: Arc<Body>,
    /// Attempts that were made before.
    pub attempts: u32,
}

/// An event as it is sent to every endpoint: byte for byte the same in each attempt.
#[derive(Debug)]
pub struct Body {
    /// Its id.
    pub id: String,
    /// Its key.
    pub key: String,
    /// The envelope.
    pub bytes: bytes::Bytes,
}
