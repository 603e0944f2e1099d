//! Registrations as Asterisk writes them (`ps_contacts`), and what follows: an endpoint that is registered or is not any
//! more, each told once, in the transaction that changes it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::api::ENDPOINTS;
use super::ara::tenant_of;
use super::ara_read::CONTACT;
use crate::api::{Field, Record};
use crate::base::ids::{IdSource, Name, TenantId, global_name, split_global_name};
use crate::config::limits::realtime as limits;
use crate::db::{Db, Tx, db_read, db_tx};
use crate::events::{Data, Draft, Events, Kind};

const NAME: Field = Field::text("name", 1, 40, "Its name.").example("\"101\"").server();
const USERNAME: Field =
    Field::text("username", 1, 40, "Its name in Asterisk.").example("\"acme-101\"").server();

static REGISTERED: [Field; 5] = [
    Field::id("endpoint_id", "The endpoint.").server(),
    NAME,
    USERNAME,
    Field::maybe("user_agent", 255, "What the phone calls itself.").server(),
    Field::maybe("address", 40, "The address it came from.").server(),
];
static UNREGISTERED: [Field; 4] = [
    Field::id("endpoint_id", "The endpoint.").server(),
    NAME,
    USERNAME,
    Field::one_of(
        "cause",
        &["removed", "expired"],
        "The phone signed off or was removed; or it did not renew in time.",
    )
    .server(),
];

/// The types of events about registrations.
pub fn kinds() -> Vec<Kind> {
    let kind = |name: &'static str, doc: &'static str, data| Kind {
        name: name.into(),
        doc: doc.into(),
        key: "endpoint:<endpoint_id>".into(),
        data,
        readers: ENDPOINTS.may.read,
        own: None,
        chapter: "endpoints".into(),
    };
    vec![
        kind(
            "endpoint.registered",
            "A phone has registered; told for the first one, and not when it renews.",
            Data::Fields("EndpointRegistered", &REGISTERED),
        ),
        kind(
            "endpoint.unregistered",
            "No phone is registered any more.",
            Data::Fields("EndpointUnregistered", &UNREGISTERED),
        ),
    ]
}

/// What Asterisk says of a registration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Its id: the endpoint's name in Asterisk, `;@` and a hash.
    pub id: String,
    /// Columns with their values; empty: the registration is over.
    pub columns: Vec<(String, String)>,
}

impl Told {
    /// Whose registration it is; `None`: nobody's.
    pub fn owner(&self) -> Option<(TenantId, Name)> {
        tenant_of(&self.id).ok()?;
        split_global_name(self.id.split(';').next()?).ok()
    }
}

/// What changes are written with.
#[derive(Clone, Copy, Debug)]
pub struct With<'a> {
    /// Makes ids.
    pub ids: &'a IdSource,
    /// What changes tell.
    pub events: &'a Events,
    /// Microseconds since 1970 UTC.
    pub now_us: i64,
}

/// An endpoint with its state.
#[derive(sqlx::FromRow)]
struct Phone {
    id: String,
    name: String,
    registered: bool,
}

/// Writes what Asterisk says of a registration. Returns how far the tenant's events go then, where there is a new one;
/// `None`: there is no such endpoint.
///
/// # Errors
/// When the database is away, or a value does not fit its column.
pub async fn write(
    tx: &mut Tx,
    with: With<'_>,
    told: &Told,
) -> sqlx::Result<Option<(TenantId, Option<i64>)>> {
    let Some((tenant, name)) = told.owner() else { return Ok(None) };
    let Some(phone) = lock(tx, &tenant, &name).await? else { return Ok(None) };
    let mut columns: Vec<(&'static str, Option<String>)> = CONTACT.iter().map(|name| (*name, None)).collect();
    let before = read(tx, &tenant, &told.id).await?;
    let until_s =
        before.iter().find(|(name, _)| *name == "expiration_time").and_then(|(_, at)| at.parse().ok());
    // Asterisk itself removes one that ran out; which of us comes first makes no difference.
    let ran_out = until_s.is_some_and(|until_s: i64| until_s <= with.now_us / 1_000_000);
    if !told.columns.is_empty() {
        // Asterisk may change a few columns of one that is there.
        for (column, value) in columns.iter_mut() {
            let given = told.columns.iter().find(|(name, _)| name == column).map(|(_, value)| value.clone());
            let kept = || before.iter().find(|(name, _)| name == column).map(|(_, value)| value.clone());
            *value = given.or_else(kept).filter(|value| !value.is_empty());
        }
        columns[0].1 = Some(told.id.clone());
        // The endpoint is in the id; what else the row says of it does not count.
        if let Some((_, endpoint)) = columns.iter_mut().find(|(name, _)| *name == "endpoint") {
            *endpoint = Some(global_name(&tenant, &name));
        }
    }
    const REMOVE: &str = "DELETE FROM ps_contacts WHERE tenant_id = ? AND id = ?";
    db_tx!(&mut *tx, |c| sqlx::query(REMOVE)
        .bind(tenant.as_str())
        .bind(&told.id)
        .execute(c)
        .await
        .map(drop))?;
    if !told.columns.is_empty() {
        insert(tx, &tenant, &columns, with.now_us).await?;
    }
    let address = columns.iter().find(|(name, _)| *name == "via_addr").and_then(|(_, value)| value.clone());
    let agent = columns.iter().find(|(name, _)| *name == "user_agent").and_then(|(_, value)| value.clone());
    let cause = if ran_out { "expired" } else { "removed" };
    let seen = json!({"user_agent": agent, "address": address});
    let position = settle(tx, with, (&tenant, &phone), seen, cause).await?;
    Ok(Some((tenant, position)))
}

async fn lock(tx: &mut Tx, tenant: &TenantId, name: &Name) -> sqlx::Result<Option<Phone>> {
    let sql = format!(
        "SELECT id, name, registered FROM endpoints WHERE tenant_id = ? AND name = ?{}",
        tx.pick("", " FOR UPDATE")
    );
    db_tx!(tx, |c| sqlx::query_as(sqlx::AssertSqlSafe(sql))
        .bind(tenant.as_str())
        .bind(name.as_str())
        .fetch_optional(c)
        .await)
}

async fn read(tx: &mut Tx, tenant: &TenantId, id: &str) -> sqlx::Result<Vec<(&'static str, String)>> {
    use sqlx::Row as _;
    let columns: Vec<String> = CONTACT.iter().map(|name| format!("CAST(`{name}` AS CHAR)")).collect();
    let sql = format!("SELECT {} FROM ps_contacts WHERE tenant_id = ? AND id = ?", columns.join(", "));
    db_tx!(tx, |c| {
        let found =
            sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).bind(id).fetch_optional(c).await?;
        let mut set = Vec::new();
        if let Some(row) = found {
            for (n, name) in CONTACT.iter().enumerate() {
                if let Some(value) = row.try_get::<Option<String>, _>(n)? {
                    set.push((*name, value));
                }
            }
        }
        Ok(set)
    })
}

async fn insert(
    tx: &mut Tx,
    tenant: &TenantId,
    columns: &[(&'static str, Option<String>)],
    now_us: i64,
) -> sqlx::Result<()> {
    let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
    let sql = format!(
        "INSERT INTO ps_contacts (tenant_id, created_at, updated_at, {}) VALUES (?, ?, ?{})",
        names.join(", "),
        ", ?".repeat(names.len())
    );
    db_tx!(tx, |c| {
        let mut query = sqlx::query(sqlx::AssertSqlSafe(sql)).bind(tenant.as_str()).bind(now_us).bind(now_us);
        for (_, value) in columns {
            query = query.bind(value.as_deref());
        }
        query.execute(c).await.map(drop)
    })
}

/// What was seen of an endpoint's registrations when Asterisk wrote them into the database itself.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Until when one was registered then, in seconds since 1970 UTC; `None`: none was.
    pub until_s: Option<i64>,
    /// What an event says of the phone.
    pub from: Value,
    /// Whether nothing newer was seen: then what is registered now counts.
    pub is_last: bool,
}

/// Brings an endpoint's state to what was seen, and tells when it changed. Returns how far the tenant's events go then, where
/// there is a new one.
///
/// # Errors
/// When the database is away.
pub async fn seen(
    tx: &mut Tx,
    with: With<'_>,
    (tenant, name): (&TenantId, &Name),
    seen: Seen,
) -> sqlx::Result<Option<i64>> {
    let Some(mut phone) = lock(tx, tenant, name).await? else { return Ok(None) };
    let then = seen.until_s.filter(|until| *until > with.now_us / 1_000_000);
    let now = if seen.is_last { last(tx, with, (tenant, &phone)).await? } else { then };
    let mut position = None;
    if then.is_some() != now.is_some() {
        position = turn(tx, with, (tenant, &phone), then, (seen.from.clone(), "removed")).await?;
        phone.registered = then.is_some();
    }
    Ok(turn(tx, with, (tenant, &phone), now, (seen.from, "removed")).await?.or(position))
}

/// Brings an endpoint's state in line with its registrations, and tells when it changed.
async fn settle(
    tx: &mut Tx,
    with: With<'_>,
    (tenant, phone): (&TenantId, &Phone),
    from: Value,
    cause: &str,
) -> sqlx::Result<Option<i64>> {
    let until = last(tx, with, (tenant, phone)).await?;
    turn(tx, with, (tenant, phone), until, (from, cause)).await
}

/// Until when an endpoint is registered, in seconds since 1970 UTC; `None`: it is not.
async fn last(
    tx: &mut Tx,
    with: With<'_>,
    (tenant, phone): (&TenantId, &Phone),
) -> sqlx::Result<Option<i64>> {
    const LAST: &str = "SELECT MAX(expiration_time) FROM ps_contacts \
         WHERE tenant_id = ? AND endpoint = ? AND expiration_time > ?";
    db_tx!(tx, |c| sqlx::query_scalar(LAST)
        .bind(tenant.as_str())
        .bind(format!("{tenant}-{}", phone.name))
        .bind(with.now_us / 1_000_000)
        .fetch_one(c)
        .await)
}

/// Makes an endpoint registered until then, or not, and tells when that is new.
async fn turn(
    tx: &mut Tx,
    with: With<'_>,
    (tenant, phone): (&TenantId, &Phone),
    until: Option<i64>,
    (from, cause): (Value, &str),
) -> sqlx::Result<Option<i64>> {
    const SET: &str = "UPDATE endpoints SET registered = ?, registered_until = ?, \
         registered_since = CASE WHEN ? THEN ? WHEN ? THEN registered_since END WHERE tenant_id = ? AND id = ?";
    let is_new = until.is_some() && !phone.registered;
    db_tx!(&mut *tx, |c| sqlx::query(SET)
        .bind(until.is_some())
        .bind(until.map(|s| s.saturating_mul(1_000_000)))
        .bind(is_new)
        .bind(with.now_us)
        .bind(until.is_some())
        .bind(tenant.as_str())
        .bind(&phone.id)
        .execute(c)
        .await
        .map(drop))?;
    if until.is_some() == phone.registered {
        return Ok(None);
    }
    let mut data = Record::from_iter([
        ("endpoint_id".to_owned(), json!(phone.id)),
        ("name".to_owned(), json!(phone.name)),
        ("username".to_owned(), json!(format!("{tenant}-{}", phone.name))),
    ]);
    let kind = if is_new {
        if let Value::Object(from) = from {
            data.extend(from);
        }
        "endpoint.registered"
    } else {
        data.insert("cause".into(), json!(cause));
        "endpoint.unregistered"
    };
    let draft = Draft {
        kind: kind.into(),
        key: format!("endpoint:{}", phone.id),
        at_us: with.now_us,
        owners: None,
        data,
    };
    with.events.write_after(tx, with.ids, (tenant, with.now_us), vec![draft], &[]).await
}

/// Ends the state of endpoints whose last registration has run out. Returns whose events have gone how far.
///
/// # Errors
/// When the database is away; those before are done.
pub async fn expire(db: &Db, with: With<'_>) -> sqlx::Result<Vec<(TenantId, i64)>> {
    const OVER: &str =
        "SELECT tenant_id, name FROM endpoints WHERE registered_until <= ? ORDER BY registered_until LIMIT ?";
    let over: Vec<(String, String)> = db_read!(db, |p| sqlx::query_as(OVER)
        .bind(with.now_us)
        .bind(limits::EXPIRED_ROWS)
        .fetch_all(p)
        .await)?;
    let mut told = Vec::new();
    for (tenant, name) in over {
        let (Ok(tenant), Ok(name)) = (TenantId::parse(&tenant), Name::parse(&name)) else { continue };
        let mut tx = db.begin().await?;
        let Some(phone) = lock(&mut tx, &tenant, &name).await? else { continue };
        // Looked at again: it may have renewed meanwhile.
        let position = settle(&mut tx, with, (&tenant, &phone), Value::Null, "expired").await?;
        tx.commit().await?;
        told.extend(position.map(|position| (tenant, position)));
    }
    Ok(told)
}
