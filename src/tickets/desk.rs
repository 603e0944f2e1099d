//! What plugins do with tickets: see those of a caller, leave a note, open one, each at most once.

use std::sync::Arc;

use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, Number, TenantId};
use crate::db::Db;
use crate::events::Events;
use crate::sandbox::types::{Failure, Ticket};

/// The desk at which plugins ask.
#[derive(Debug)]
pub struct Desk {
    /// The database.
    pub db: Db,
    /// The time.
    pub clock: Clock,
    /// Makes ids.
    pub ids: IdSource,
    /// What changes tell.
    pub events: Arc<Events>,
}

impl Desk {
    /// Tickets of whoever has a number that are not closed, the newest first.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn open_for(&self, _tenant: &TenantId, _number: &Number) -> Result<Vec<Ticket>, Failure> {
        Err(Failure::Other(("unavailable".into(), "tickets can't be seen yet".into())))
    }

    /// Leaves a note in a ticket.
    ///
    /// # Errors
    /// When there is no such ticket of the tenant's, or the database is away.
    pub async fn comment(&self, _by: (&TenantId, &Id), _ticket: &str, _text: &str) -> Result<(), Failure> {
        Err(Failure::Other(("unavailable".into(), "tickets can't be commented yet".into())))
    }
}
