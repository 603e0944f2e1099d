//! The demo's people: a login of every role, and a caller who is listed as VIP.

use serde::Serialize;
use serde_json::json;

use crate::api::check;
use crate::api::store::{self, Scope};
use crate::app::Error;
use crate::auth::password;
use crate::base::ids::{IdSource, TenantId};
use crate::base::role::Role;
use crate::contacts::api::{CONTACTS, TAGS};
use crate::db::{Db, Tx, db_tx};
use crate::users::{Email, NewUser, insert_user, set_role};

/// The password of all of them: public, so only for a service that nobody else can reach.
const PASSWORD: &str = "hookswitch-demo-1";
/// Who is listed as VIP.
const VIP: &str = "+15557770001";

/// Login name, tenant, role, given name.
const PEOPLE: [(&str, &str, Role, &str); 6] = [
    ("admin@acme.test", "acme", Role::TenantAdmin, "Ada"),
    ("supervisor@acme.test", "acme", Role::Supervisor, "Sue"),
    ("agent@acme.test", "acme", Role::Agent, "Amy"),
    ("viewer@acme.test", "acme", Role::Viewer, "Vic"),
    ("admin@globex.test", "globex", Role::TenantAdmin, "Gus"),
    ("root@hookswitch.test", "", Role::Superadmin, "Root"),
];

/// A login of the demo.
#[derive(Debug, Serialize)]
pub(super) struct Login {
    pub(super) email: &'static str,
    pub(super) password: &'static str,
    pub(super) role: Role,
    /// Where; none for who runs the platform.
    pub(super) tenant: Option<&'static str>,
}

fn said(error: impl std::fmt::Display) -> Error {
    Error::Said(format!("demo data: {error}"))
}

/// Adds who is missing, and tells all.
pub(super) async fn load(db: &Db, ids: &IdSource, now_us: i64) -> Result<Vec<Login>, Error> {
    // One hash for all: they share the password, and the demo is public.
    let hash = password::hash(PASSWORD).map_err(said)?;
    let mut tx = db.begin().await?;
    for (email, tenant, role, name) in PEOPLE {
        let email = Email::parse(email).map_err(said)?;
        if !is_there(&mut tx, "SELECT COUNT(*) FROM users WHERE email = ? AND deleted_at = 0", email.as_str())
            .await?
        {
            person(&mut tx, ids, (&email, &hash, tenant, role, name), now_us).await?;
        }
    }
    vip(&mut tx, ids, now_us).await?;
    tx.commit().await?;
    let login = |(email, tenant, role, _): (&'static str, &'static str, Role, &str)| Login {
        email,
        password: PASSWORD,
        role,
        tenant: Some(tenant).filter(|tenant| !tenant.is_empty()),
    };
    Ok(PEOPLE.into_iter().map(login).collect())
}

async fn is_there(tx: &mut Tx, sql: &'static str, value: &str) -> sqlx::Result<bool> {
    let count: i64 = db_tx!(tx, |c| sqlx::query_scalar(sql).bind(value).fetch_one(c).await)?;
    Ok(count > 0)
}

async fn person(
    tx: &mut Tx,
    ids: &IdSource,
    (email, hash, tenant, role, name): (&Email, &str, &str, Role, &str),
    now_us: i64,
) -> Result<(), Error> {
    let (id, home) = (ids.next(), TenantId::parse(tenant).ok());
    let user = NewUser {
        id: &id,
        tenant: home.as_ref(),
        email,
        password_hash: hash,
        is_superadmin: role == Role::Superadmin,
        first_name: name,
        last_name: "Demo",
        language: "en",
        zone: "UTC",
    };
    insert_user(tx, &user, now_us).await?;
    if let Some(tenant) = &home {
        set_role(tx, tenant, &id, (&ids.next(), role), now_us).await?;
    }
    Ok(())
}

/// The contact that the demo's plugins look for, with its tag.
async fn vip(tx: &mut Tx, ids: &IdSource, now_us: i64) -> Result<(), Error> {
    const THERE: &str =
        "SELECT COUNT(*) FROM contacts WHERE tenant_id = 'acme' AND deleted_at = 0 AND phone = ?";
    const TAG: &str = "SELECT id FROM tags WHERE tenant_id = 'acme' AND name = 'vip'";
    if is_there(tx, THERE, VIP).await? {
        return Ok(());
    }
    let acme = TenantId::parse("acme").map_err(said)?;
    let scope = Scope::tenant(&acme);
    let wrong = |faults| said(format!("{faults:?}"));
    let found: Option<String> = db_tx!(&mut *tx, |c| sqlx::query_scalar(TAG).fetch_optional(c).await)?;
    let tag = match found {
        Some(tag) => tag,
        None => {
            let tag = ids.next().to_string();
            let body =
                json!({"name": "vip", "color": "#ff8800", "description": "Calls go to a person at once."});
            let values = check::body(&body, TAGS.fields, TAGS.parts, true).map_err(wrong)?;
            store::insert(tx, &TAGS, &scope, &tag, &values, now_us).await?;
            tag
        }
    };
    let body = json!({"first_name": "Vera", "last_name": "Important", "phone": VIP, "tags": [tag]});
    let values = check::body(&body, CONTACTS.fields, CONTACTS.parts, true).map_err(wrong)?;
    store::insert(tx, &CONTACTS, &scope, ids.next().as_str(), &values, now_us).await?;
    Ok(())
}
