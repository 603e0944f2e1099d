//! The demo's phones as Asterisk reads them from the database: the same rows, by the same code, as those of an endpoint
//! that the API makes.

use serde::{Serialize, Serializer};

use crate::app::Error;
use crate::base::ids::{Name, TenantId, global_name};
use crate::base::secret::Secret;
use crate::db::{Db, Tx, db_tx};
use crate::endpoints::{self, forget, introduce};

/// Tenant and endpoint.
const PHONES: [(&str, &str); 4] = [("acme", "101"), ("acme", "102"), ("globex", "101"), ("globex", "102")];

/// A phone of the demo.
#[derive(Debug, Serialize)]
pub(super) struct Phone {
    /// The name it signs in with.
    pub(super) username: String,
    pub(super) tenant: &'static str,
    /// Told when it is made, and never again.
    #[serde(serialize_with = "told")]
    pub(super) password: Option<Secret>,
}

fn told<S: Serializer>(password: &Option<Secret>, to: S) -> Result<S::Ok, S::Error> {
    password.as_ref().map(Secret::expose).serialize(to)
}

fn said(error: impl std::fmt::Display) -> Error {
    Error::Said(format!("demo data: {error}"))
}

/// Tells Asterisk of the demo's endpoints that it does not know, those of an older database too.
pub(super) async fn load(db: &Db, now_us: i64) -> Result<Vec<Phone>, Error> {
    let mut phones = Vec::new();
    let mut tx = db.begin().await?;
    for (tenant, name) in PHONES {
        let owner = TenantId::parse(tenant).map_err(said)?;
        let name = Name::parse(name).map_err(said)?;
        // Somebody may have deleted it.
        let Some((display_name, mailbox)) = shown(&mut tx, &owner, &name).await? else { continue };
        let username = global_name(&owner, &name);
        let password = if is_known(&mut tx, &owner, &username).await? {
            None
        } else {
            // In an older database it may have a password and nothing else, with which nobody could sign in.
            forget(&mut tx, &owner, &name).await?;
            let phone = endpoints::Phone {
                name: &name,
                display_name: &display_name,
                mailbox: &mailbox,
                template: endpoints::Template::Desk,
                registrations: 1,
            };
            let made = introduce(&mut tx, &owner, &phone, now_us).await;
            Some(made.map_err(|problem| said(problem.detail))?)
        };
        phones.push(Phone { username, tenant, password });
    }
    tx.commit().await?;
    Ok(phones)
}

/// Name for people and mailbox of an endpoint.
async fn shown(tx: &mut Tx, tenant: &TenantId, name: &Name) -> sqlx::Result<Option<(String, String)>> {
    const SQL: &str = "SELECT display_name, mailbox FROM endpoints WHERE tenant_id = ? AND name = ?";
    db_tx!(tx, |c| sqlx::query_as(SQL).bind(tenant.as_str()).bind(name.as_str()).fetch_optional(c).await)
}

/// Whether Asterisk has an endpoint's row.
async fn is_known(tx: &mut Tx, tenant: &TenantId, username: &str) -> sqlx::Result<bool> {
    const SQL: &str = "SELECT COUNT(*) FROM ps_endpoints WHERE tenant_id = ? AND id = ?";
    let rows: i64 =
        db_tx!(tx, |c| sqlx::query_scalar(SQL).bind(tenant.as_str()).bind(username).fetch_one(c).await)?;
    Ok(rows > 0)
}
