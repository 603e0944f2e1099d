//! Which table is asked for what, and how.

use super::answer::{Table, lines, owner, registrar, value};
use super::contacts::Words;
use super::form::{Condition, Row, conditions, line, pairs};
use super::{Realtime, Wrong};
use crate::base::ids::{Name, TenantId};
use crate::config::limits::realtime as limits;
use crate::db::Db;
use crate::endpoints::registrations::Told;
use crate::endpoints::{self, Kind};
use crate::queues::{asterisk as queues, log};
use crate::tenants;

/// Answers a question.
pub(super) async fn ask(
    realtime: &Realtime,
    (table, verb): (&str, &str),
    query: &str,
    body: &[u8],
) -> Result<String, Wrong> {
    let none = || Wrong::Table(format!("{table}/{verb}"));
    match (table, verb) {
        // Whether the table has columns of these names and widths. Told that data1 to data5 are not there, Asterisk writes one
        // column `data` and does not ask again with each row (main/logger.c, `logger_queue_rt_start`). 255 bytes of it come, with
        // what is escaped: as many as of one column, and far more than app_queue's own rows have.
        ("queue_log", "require") => Ok("-1".to_owned()),
        (_, "require") => Ok("0".to_owned()),
        (_, "single" | "multi") => read(realtime, table, &conditions(body)?, verb == "single").await,
        ("ps_contacts", "store" | "update" | "destroy") => contact(realtime, verb, query, body).await,
        ("queue_members", "update") => member(realtime, query, body).await,
        ("queue_log", "store") => queue_log(realtime, body).await,
        _ => Err(none()),
    }
}

async fn read(
    realtime: &Realtime,
    table: &str,
    conditions: &[Condition],
    one: bool,
) -> Result<String, Wrong> {
    let kind = match table {
        "ps_endpoints" => Kind::Endpoint,
        "ps_auths" => Kind::Auth,
        "ps_aors" => Kind::Aor,
        "ps_contacts" => return contacts(realtime, conditions, one).await,
        "queues" | "queue_members" | "voicemail" => return named(realtime, table, conditions, one).await,
        "ps_endpoint_id_ips" => {
            return Ok(lines(&realtime.answers.trunks(&realtime.parts).await?, conditions, one));
        }
        // Names carry their tenant, whatever domain a phone names; classes of music are the operator's files.
        "ps_domain_aliases" | "musiconhold" | "musiconhold_entry" => return Ok(String::new()),
        other => return Err(Wrong::Table(other.to_owned())),
    };
    match value(conditions, "id") {
        Some(id) => {
            // `acme-101@10.0.0.1`, which Asterisk asks first, is nobody's.
            let Some((tenant, name)) = owner(id) else { return Ok(String::new()) };
            let rows = realtime.answers.of(&realtime.parts, Table::Phone(kind), (&tenant, &name)).await?;
            Ok(lines(&rows, conditions, one))
        }
        None => all(realtime, conditions, Whole::Phones(kind)).await,
    }
}

/// Queues, members, mailboxes.
async fn named(
    realtime: &Realtime,
    table: &str,
    conditions: &[Condition],
    one: bool,
) -> Result<String, Wrong> {
    let parts = &realtime.parts;
    let (table, found) = match table {
        "queues" => (Table::Queue, value(conditions, "name").map(owner)),
        "queue_members" => (Table::Members, value(conditions, "queue_name").map(owner)),
        _ => {
            // Without a context a mailbox could be anybody's.
            let Some(name) = value(conditions, "mailbox") else { return Ok(String::new()) };
            let tenant = value(conditions, "context").and_then(|context| TenantId::parse(context).ok());
            (Table::Mailbox, Some(tenant.zip(Name::parse(name).ok())))
        }
    };
    match found {
        Some(Some((tenant, name))) => {
            Ok(lines(&realtime.answers.of(parts, table, (&tenant, &name)).await?, conditions, one))
        }
        Some(None) => Ok(String::new()),
        None if table == Table::Queue => all(realtime, conditions, Whole::Queues).await,
        None => all(realtime, conditions, Whole::Members).await,
    }
}

/// A table as a whole: Asterisk asks so when it starts.
#[derive(Clone, Copy)]
enum Whole {
    Phones(Kind),
    Contacts,
    Queues,
    Members,
}

/// A tenant's rows behind a place, and the next place, where there is one.
async fn piece(
    db: &Db,
    whole: Whole,
    tenant: &TenantId,
    after: &str,
) -> sqlx::Result<(Vec<Row>, Option<String>)> {
    let by_id = match whole {
        Whole::Phones(kind) => Some(endpoints::rows_behind(db, tenant, kind, after).await?),
        Whole::Contacts => Some(endpoints::registrations_behind(db, tenant, after).await?),
        Whole::Queues | Whole::Members => None,
    };
    if let Some(rows) = by_id {
        let last = rows.last().and_then(|row| row.first()).map(|(_, id)| id.clone());
        return Ok((rows, last));
    }
    let mut rows = Vec::new();
    let names = queues::names_behind(db, tenant, after).await?;
    for name in names.iter().filter_map(|name| Name::parse(name).ok()) {
        match whole {
            Whole::Queues => rows.extend(queues::row(db, tenant, &name).await?),
            _ => rows.extend(queues::members(db, tenant, &name).await?),
        }
    }
    Ok((rows, names.last().cloned()))
}

/// Everything of all tenants that meets the conditions.
async fn all(realtime: &Realtime, conditions: &[Condition], whole: Whole) -> Result<String, Wrong> {
    let db = &realtime.parts.db;
    // Before the database is asked. Asterisk looks so for registrations that ran out, and one may have been renewed.
    let mut words = match whole {
        Whole::Contacts => realtime.contacts.words(&realtime.parts),
        _ => Words::default(),
    };
    let fits = |row: &Row| conditions.iter().all(|condition| condition.is_met(row));
    let work = async {
        let mut text = String::new();
        for (tenant, _) in tenants::store::versions(db).await? {
            let mut after = Some(String::new());
            while let Some(place) = after {
                let (rows, next) = piece(db, whole, &tenant, &place).await?;
                words.over(rows).iter().filter(|row| fits(row)).for_each(|row| text.push_str(&line(row)));
                if text.len() > limits::ANSWER_BYTES {
                    return Err(Wrong::Long);
                }
                after = next;
            }
        }
        words.rest().iter().filter(|row| fits(row)).for_each(|row| text.push_str(&line(row)));
        Ok(text)
    };
    tokio::time::timeout(limits::READ_ALL_TIME, work).await.unwrap_or(Err(Wrong::Away))
}

async fn contacts(realtime: &Realtime, conditions: &[Condition], one: bool) -> Result<String, Wrong> {
    if let Some((tenant, name)) = registrar(conditions) {
        let rows = realtime.contacts.of(&realtime.parts, (&tenant, &name)).await?;
        return Ok(lines(&rows, conditions, one));
    }
    if value(conditions, "id").is_some() {
        return Ok(String::new());
    }
    all(realtime, conditions, Whole::Contacts).await
}

/// What Asterisk writes of a registration: how many rows that were.
async fn contact(realtime: &Realtime, verb: &str, query: &str, body: &[u8]) -> Result<String, Wrong> {
    // `store` has its id among the columns, `destroy` in the body or in the query, `update` in the query.
    let keys = if query.is_empty() { pairs(body)? } else { pairs(query.as_bytes())? };
    let Some((_, id)) = keys.into_iter().find(|(name, _)| name == "id") else {
        return Err(Wrong::Value("a registration without an id".into()));
    };
    let columns = match verb {
        "destroy" => Vec::new(),
        _ => pairs(body)?.into_iter().filter(|(name, _)| name != "id").collect(),
    };
    let found = realtime.contacts.write(&realtime.parts, Told { id, columns }).await?;
    Ok(u8::from(found).to_string())
}

/// A row of the queues' log: how many rows that were. Asterisk does not look.
async fn queue_log(realtime: &Realtime, body: &[u8]) -> Result<String, Wrong> {
    let row = log::read(&pairs(body)?).map_err(|error| Wrong::Value(error.to_string()))?;
    let taken = match row {
        Some(row) => realtime.queue_log.write(&realtime.parts, row).await?,
        None => false,
    };
    // A row that is nobody's, such as QUEUESTART, was taken note of too.
    tracing::debug!(taken, "a row of queue_log");
    Ok("1".to_owned())
}

/// What Asterisk writes of a queue's member: that it was paused, and why.
async fn member(realtime: &Realtime, query: &str, body: &[u8]) -> Result<String, Wrong> {
    let parts = &realtime.parts;
    let key = pairs(query.as_bytes())?.into_iter().find(|(name, _)| name == "uniqueid");
    let Some(id) = key.and_then(|(_, id)| queues::member_of(&id)) else { return Ok("0".to_owned()) };
    let mut told = queues::Paused::default();
    for (column, value) in pairs(body)? {
        match column.as_str() {
            "paused" => told.paused = Some(value == "1"),
            "reason_paused" => {
                told.reason = Some(value.chars().take(limits::PAUSE_REASON_CHARACTERS).collect())
            }
            "penalty" => told.penalty = value.parse().ok(),
            _ => {}
        }
    }
    let Some(tenant) = queues::owner(&parts.db, &id).await? else { return Ok("0".to_owned()) };
    let found = queues::told(
        &parts.db,
        (&parts.router.ids, &parts.events),
        (&tenant, parts.clock.now_us()),
        &id,
        told,
    )
    .await?;
    // The other nodes see it with their next refresh, this one at once.
    parts.router.memory.reload(&tenant).await?;
    Ok(u8::from(found).to_string())
}
