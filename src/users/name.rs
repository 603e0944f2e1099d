//! What whoever asks is called, for what they write: people come and go, so the name is kept with it.

use super::User;
use crate::api::Actor;
use crate::base::ids::TenantId;
use crate::db::{Tx, db_tx};

impl User {
    /// The full name of a user, else the email; the name of a key. Empty when there is no such one any more.
    ///
    /// # Errors
    /// When the database is away.
    pub async fn name_of(tx: &mut Tx, tenant: &TenantId, actor: &Actor) -> sqlx::Result<String> {
        const USER: &str = "SELECT first_name, last_name, email FROM users WHERE id = ?";
        const KEY: &str = "SELECT name FROM api_keys WHERE tenant_id = ? AND id = ?";
        match actor {
            Actor::User(id) => {
                let found: Option<(String, String, String)> =
                    db_tx!(tx, |c| sqlx::query_as(USER).bind(id.as_str()).fetch_optional(c).await)?;
                Ok(found
                    .map_or_else(String::new, |(first, last, email)| super::full_name(&first, &last, &email)))
            }
            Actor::Key(id) => {
                let found: Option<String> = db_tx!(tx, |c| sqlx::query_scalar(KEY)
                    .bind(tenant.as_str())
                    .bind(id.as_str())
                    .fetch_optional(c)
                    .await)?;
                Ok(found.unwrap_or_default())
            }
        }
    }
}
