//! Reads everything routing knows of one tenant. A row that can't be read is left out with a warning that names it:
//! one bad row must not take a tenant's other numbers away.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::base::ids::{Id, Name, Number, Sound, TenantId};
use crate::config::limits::{ivr, routing as limits};
use crate::db::{Db, db_read};
use crate::plugins::{self, NO_PLUGIN, Setup};
use crate::routing::callback::CallbackRules;
use crate::routing::data::{
    Choice, DidRules, Digits, EndpointRules, Menu, NumberList, OutboundRule, QueueRules, TenantRules,
};
use crate::routing::schedule::Schedule;
use crate::routing::types::{Destination, Place, RawDestination};
use crate::routing::webhook::WebhookRoute;
use crate::tenants;

/// Reads a tenant, or `None` when there is no such tenant (any more); without the platform's lists.
///
/// # Errors
/// When the database is away.
pub async fn tenant(db: &Db, id: &TenantId) -> sqlx::Result<Option<TenantRules>> {
    // Asked first: a change that happens while the rest is read makes the data look old, never new.
    let version = version(db, id).await?;
    let Some(tenant) = tenants::store::get(db, id).await? else { return Ok(None) };
    let schedules = schedules(db, id).await?;
    let mut destinations = destinations(db, id).await?;
    let mut take = |kind: &str, owner: &str, role: &str| {
        destinations.remove(&(kind.to_owned(), owner.to_owned(), role.to_owned())).unwrap_or_default()
    };
    let one = |mut list: Vec<Destination>| if list.is_empty() { None } else { Some(list.swap_remove(0)) };
    let fallback = one(take("tenant", id.as_str(), "fallback"));
    let blocked = one(take("tenant", id.as_str(), "blocked"));
    let plugin = default_plugin(db, id).await?;
    let dids = dids(db, id, &schedules, plugin.as_ref(), &mut take).await?;
    let (block, allow) = number_rules(db, id).await?;
    let own = own(db, id).await?;
    Ok(Some(TenantRules {
        tenant: tenant.id,
        version,
        used: AtomicU64::default(),
        status: tenant.status,
        max_calls: tenant.max_concurrent_calls,
        language: tenant.language,
        zone: tenant.zone.parse().unwrap_or(chrono_tz::UTC),
        fallback,
        blocked,
        block,
        allow,
        dids,
        endpoints: endpoints(db, id).await?,
        queues: queues(db, id, &schedules).await?,
        mailboxes: mailboxes(db, id).await?,
        menus: menus(db, id).await?,
        outbound: outbound(db, id).await?,
        plugins: plugins(db, id).await?,
        announcement: spoken("tenants", id.as_str(), &own.recording_announcement),
        max_outbound_calls: u32::try_from(own.max_outbound_calls).unwrap_or(0),
        max_outbound_rate: u32::try_from(own.max_outbound_rate).unwrap_or(0),
        country: own.country,
        platform: Arc::default(),
    }))
}

/// The tenant that owns a number, in service or not.
///
/// # Errors
/// When the database is away.
pub async fn owner(db: &Db, number: &Number) -> sqlx::Result<Option<TenantId>> {
    const SQL: &str = "SELECT d.tenant_id FROM dids d JOIN tenants t ON t.id = d.tenant_id AND t.deleted_at = 0 \
         WHERE d.number = ? AND d.deleted_at = 0";
    let found: Option<String> =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(number.as_str()).fetch_optional(p).await)?;
    Ok(found.and_then(|id| keep("dids", &id, TenantId::parse(&id))))
}

/// Says which row can't be used, once, and leaves it out.
fn keep<T, E: std::fmt::Display>(table: &str, row: &str, value: Result<T, E>) -> Option<T> {
    value.map_err(|error| tracing::warn!(table, row, %error, "a row of routing data can't be used")).ok()
}

async fn version(db: &Db, id: &TenantId) -> sqlx::Result<i64> {
    const SQL: &str = "SELECT version FROM routing_versions WHERE tenant_id = ?";
    let found: Option<i64> =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(id.as_str()).fetch_optional(p).await)?;
    Ok(found.unwrap_or(0))
}

async fn schedules(db: &Db, id: &TenantId) -> sqlx::Result<HashMap<String, Arc<Schedule>>> {
    const SQL: &str = "SELECT name, definition FROM schedules WHERE tenant_id = ?";
    let rows: Vec<(String, String)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_all(p).await)?;
    let parse = |(name, text): (String, String)| {
        let schedule = keep("schedules", &name, serde_json::from_str(&text))?;
        Some((name, Arc::new(schedule)))
    };
    Ok(rows.into_iter().filter_map(parse).collect())
}

type Destinations = HashMap<(String, String, String), Vec<Destination>>;

#[derive(sqlx::FromRow)]
struct DestinationRow {
    owner_kind: String,
    owner_id: String,
    role: String,
    #[sqlx(rename = "type")]
    kind: String,
    target: String,
    timeout_s: i64,
    options: String,
    message: String,
}

fn raw(action: String, target: String, timeout_s: i64, options: String, message: String) -> RawDestination {
    RawDestination { action, target, timeout_s: u32::try_from(timeout_s).unwrap_or(0), options, message }
}

async fn destinations(db: &Db, id: &TenantId) -> sqlx::Result<Destinations> {
    const SQL: &str = "SELECT owner_kind, owner_id, role, type, target, timeout_s, options, message \
         FROM destinations WHERE tenant_id = ? ORDER BY owner_kind, owner_id, role, position";
    let rows: Vec<DestinationRow> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_all(p).await)?;
    let mut all = Destinations::new();
    for row in rows {
        let place = format!("{} {} {}", row.owner_kind, row.owner_id, row.role);
        let raw = raw(row.kind, row.target, row.timeout_s, row.options, row.message);
        if let Some(to) = keep("destinations", &place, Destination::check(&raw)) {
            let list = all.entry((row.owner_kind, row.owner_id, row.role)).or_default();
            if list.len() < limits::OVERFLOWS {
                list.push(to);
            }
        }
    }
    Ok(all)
}

#[derive(sqlx::FromRow)]
struct DidRow {
    id: String,
    number: String,
    status: String,
    route_type: String,
    route_target: String,
    route_timeout_s: i64,
    route_options: String,
    message: String,
    plugin: String,
    schedule: String,
    language: String,
    record: bool,
    max_concurrent_calls: i64,
    webhook_url: String,
    webhook_second_url: String,
    webhook_secret: String,
    webhook_timeout_ms: i64,
}

async fn dids(
    db: &Db,
    id: &TenantId,
    schedules: &HashMap<String, Arc<Schedule>>,
    plugin: Option<&Arc<str>>,
    take: &mut impl FnMut(&str, &str, &str) -> Vec<Destination>,
) -> sqlx::Result<HashMap<Digits, Arc<DidRules>>> {
    const SQL: &str = "SELECT id, number, status, route_type, route_target, route_timeout_s, route_options, message, \
         plugin, schedule, language, record, max_concurrent_calls, webhook_url, webhook_second_url, webhook_secret, \
         webhook_timeout_ms FROM dids WHERE tenant_id = ? AND deleted_at = 0";
    let rows: Vec<DidRow> = db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_all(p).await)?;
    let mut all = HashMap::with_capacity(rows.len());
    let mut names = HashSet::new();
    for row in rows {
        let mut role = |role: &str| take("did", &row.id, role);
        let overflow = role("overflow");
        let mut first = |name: &str| role(name).into_iter().next().map(Box::new);
        let (fallback, closed, holiday) = (first("fallback"), first("closed"), first("holiday"));
        let (limit, inactive) = (first("limit"), first("inactive"));
        let Some(number) = keep("dids", &row.id, Number::parse(&row.number)) else { continue };
        let number = Digits::from(&number);
        let Some(did_id) = keep("dids", &row.id, Id::parse(&row.id)) else { continue };
        let webhook = webhook(&row);
        let is_webhook = row.route_type == "webhook";
        let static_route =
            raw(row.route_type, row.route_target, row.route_timeout_s, row.route_options, row.message);
        let mut primary =
            if is_webhook { None } else { keep("dids", &row.id, Destination::check(&static_route)) };
        if let Some(to) = &mut primary {
            share_name(&mut names, &mut to.place);
        }
        let schedule = schedules.get(&row.schedule).map(Arc::clone);
        let rules = DidRules {
            id: did_id,
            number,
            active: row.status == "active",
            max_calls: u32::try_from(row.max_concurrent_calls).unwrap_or(0),
            record: row.record,
            language: row.language,
            schedule_missing: !row.schedule.is_empty() && schedule.is_none(),
            schedule,
            plugin: match row.plugin.as_str() {
                "" => plugin.map(Arc::clone),
                NO_PLUGIN => None,
                own => Some(own.into()),
            },
            webhook,
            primary,
            overflow,
            fallback,
            closed,
            holiday,
            limit,
            inactive,
        };
        all.insert(number, Arc::new(rules));
    }
    Ok(all)
}

/// The plugin of numbers that name none.
async fn default_plugin(db: &Db, id: &TenantId) -> sqlx::Result<Option<Arc<str>>> {
    const SQL: &str = "SELECT plugin FROM tenants WHERE id = ?";
    let found: Option<String> =
        db_read!(db, |p| sqlx::query_scalar(SQL).bind(id.as_str()).fetch_optional(p).await)?;
    Ok(found.filter(|plugin| !plugin.is_empty()).map(Into::into))
}

async fn plugins(db: &Db, id: &TenantId) -> sqlx::Result<HashMap<Name, Arc<Setup>>> {
    let all = plugins::setups(db, id).await?.into_iter();
    Ok(all
        .filter_map(|setup| Some((keep("plugins", &setup.name, Name::parse(&setup.name))?, setup)))
        .collect())
}

/// Lets all DIDs that lead to the same place share its name: the next call finds it in the processor's cache.
fn share_name(names: &mut HashSet<Name>, place: &mut Place) {
    if let Place::Queue(name) | Place::Endpoint(name) | Place::Ivr(name) | Place::Voicemail(name) = place {
        match names.get(name) {
            Some(known) => *name = known.clone(),
            None => drop(names.insert(name.clone())),
        }
    }
}

fn webhook(row: &DidRow) -> Option<Arc<WebhookRoute>> {
    if row.route_type != "webhook" {
        return None;
    }
    let second = Some(&row.webhook_second_url).filter(|url| !url.is_empty());
    let timeout_ms = u32::try_from(row.webhook_timeout_ms).unwrap_or(2_000);
    let route =
        WebhookRoute::check(&row.webhook_url, second.map(String::as_str), &row.webhook_secret, timeout_ms);
    keep("dids", &row.id, route).map(Arc::new)
}

async fn number_rules(db: &Db, id: &TenantId) -> sqlx::Result<(NumberList, NumberList)> {
    const SQL: &str = "SELECT kind, pattern, expires_at FROM number_rules WHERE tenant_id = ?";
    let rows: Vec<(String, String, i64)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_all(p).await)?;
    let (mut block, mut allow) = (NumberList::default(), NumberList::default());
    for (kind, pattern, expires) in rows {
        let list = if kind == "allow" { &mut allow } else { &mut block };
        if !list.insert(&pattern, expires) {
            tracing::warn!(table = "number_rules", row = pattern, "a row of routing data can't be used");
        }
    }
    Ok((block, allow))
}

async fn endpoints(db: &Db, id: &TenantId) -> sqlx::Result<HashMap<Name, EndpointRules>> {
    const SQL: &str = "SELECT name, status, mailbox, caller_number, ring_timeout_s, record FROM endpoints WHERE tenant_id = ?";
    type Row = (String, String, String, String, i64, bool);
    let rows: Vec<Row> = db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_all(p).await)?;
    let parse = |(name, status, mailbox, caller_number, ring, record): Row| {
        let rules = EndpointRules {
            active: status == "active",
            mailbox: Name::parse(&mailbox).ok(),
            ring_timeout_s: u32::try_from(ring).unwrap_or(limits::RING_S),
            caller_number,
            record,
        };
        Some((keep("endpoints", &name, Name::parse(&name))?, rules))
    };
    Ok(rows.into_iter().filter_map(parse).collect())
}

#[derive(sqlx::FromRow)]
struct QueueRow {
    name: String,
    status: String,
    max_wait_s: i64,
    extension: String,
    record: bool,
    recording_announcement: String,
    callback_key: String,
    callback_schedule: String,
    callback_sound: String,
}

async fn queues(
    db: &Db,
    id: &TenantId,
    schedules: &HashMap<String, Arc<Schedule>>,
) -> sqlx::Result<HashMap<Name, QueueRules>> {
    const SQL: &str = "SELECT name, status, max_wait_s, extension, record, recording_announcement, callback_key, \
         callback_schedule, callback_sound FROM queues WHERE tenant_id = ?";
    let rows: Vec<QueueRow> = db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_all(p).await)?;
    let parse = |row: QueueRow| {
        let schedule = schedules.get(&row.callback_schedule).map(Arc::clone);
        let rules = QueueRules {
            active: row.status == "active",
            max_wait_s: u32::try_from(row.max_wait_s).unwrap_or(0),
            extension: row.extension,
            record: row.record,
            announcement: spoken("queues", &row.name, &row.recording_announcement),
            callback: CallbackRules {
                offered: !row.callback_key.is_empty(),
                schedule_missing: !row.callback_schedule.is_empty() && schedule.is_none(),
                schedule,
                sound: spoken("queues", &row.name, &row.callback_sound),
            },
        };
        Some((keep("queues", &row.name, Name::parse(&row.name))?, rules))
    };
    Ok(rows.into_iter().filter_map(parse).collect())
}

/// What only routing wants of the tenant's row.
#[derive(Default, sqlx::FromRow)]
struct Own {
    recording_announcement: String,
    max_outbound_calls: i64,
    max_outbound_rate: i64,
    country: String,
}

async fn own(db: &Db, id: &TenantId) -> sqlx::Result<Own> {
    const SQL: &str = "SELECT recording_announcement, max_outbound_calls, max_outbound_rate, country FROM tenants WHERE id = ?";
    let found: Option<Own> = db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_optional(p).await)?;
    Ok(found.unwrap_or_default())
}

/// A sound that a row may name.
fn spoken(table: &str, row: &str, sound: &str) -> Option<Sound> {
    if sound.is_empty() { None } else { keep(table, row, Sound::parse(sound)) }
}

async fn mailboxes(db: &Db, id: &TenantId) -> sqlx::Result<HashSet<Name>> {
    const SQL: &str = "SELECT name FROM mailboxes WHERE tenant_id = ?";
    let rows: Vec<String> = db_read!(db, |p| sqlx::query_scalar(SQL).bind(id.as_str()).fetch_all(p).await)?;
    Ok(rows.iter().filter_map(|name| keep("mailboxes", name, Name::parse(name))).collect())
}

async fn outbound(db: &Db, id: &TenantId) -> sqlx::Result<Vec<OutboundRule>> {
    const SQL: &str = "SELECT prefix, allowed, trunk FROM outbound_rules WHERE tenant_id = ?";
    let rows: Vec<(String, bool, String)> =
        db_read!(db, |p| sqlx::query_as(SQL).bind(id.as_str()).fetch_all(p).await)?;
    let rule = |(prefix, allowed, trunk): (String, bool, String)| OutboundRule {
        trunk: Some(trunk)
            .filter(|t| !t.is_empty())
            .and_then(|t| keep("outbound_rules", &t, Name::parse(&t))),
        prefix,
        allowed,
    };
    Ok(rows.into_iter().map(rule).collect())
}

#[derive(sqlx::FromRow)]
struct MenuRow {
    id: String,
    name: String,
    prompts: String,
    invalid_prompt: String,
    goodbye_prompt: String,
    first_digit_ms: i64,
    inter_digit_ms: i64,
    max_tries: i64,
    direct_dial: bool,
}

#[derive(sqlx::FromRow)]
struct OptionRow {
    menu_id: String,
    digits: String,
    #[sqlx(rename = "type")]
    kind: String,
    target: String,
    timeout_s: i64,
    options: String,
    message: String,
}

async fn menus(db: &Db, id: &TenantId) -> sqlx::Result<HashMap<Name, Arc<Menu>>> {
    const MENUS: &str = "SELECT id, name, prompts, invalid_prompt, goodbye_prompt, first_digit_ms, inter_digit_ms, \
         max_tries, direct_dial FROM ivr_menus WHERE tenant_id = ?";
    const OPTIONS: &str = "SELECT menu_id, digits, type, target, timeout_s, options, message \
         FROM ivr_options WHERE tenant_id = ?";
    let rows: Vec<MenuRow> = db_read!(db, |p| sqlx::query_as(MENUS).bind(id.as_str()).fetch_all(p).await)?;
    let options: Vec<OptionRow> =
        db_read!(db, |p| sqlx::query_as(OPTIONS).bind(id.as_str()).fetch_all(p).await)?;
    let mut by_menu: HashMap<String, BTreeMap<String, Choice>> = HashMap::new();
    for row in options {
        let choice = match row.kind.as_str() {
            "repeat" => Some(Choice::Repeat),
            "back" => Some(Choice::Back),
            "goodbye" => Some(Choice::Goodbye),
            _ => {
                let raw = raw(row.kind, row.target, row.timeout_s, row.options, row.message);
                keep("ivr_options", &row.menu_id, Destination::check(&raw)).map(Choice::Go)
            }
        };
        if let Some(choice) = choice {
            by_menu.entry(row.menu_id).or_default().insert(row.digits, choice);
        }
    }
    let parse = |row: MenuRow| {
        let name = keep("ivr_menus", &row.id, Name::parse(&row.name))?;
        let prompts = keep("ivr_menus", &row.id, serde_json::from_str(&row.prompts))?;
        let sound =
            |text: &str| if text.is_empty() { None } else { keep("ivr_menus", &row.id, Sound::parse(text)) };
        let (least, usual, most) = ivr::WAIT_MS;
        let millis = |n: i64| u32::try_from(n).unwrap_or(usual).clamp(least, most);
        let menu = Menu {
            name: name.clone(),
            prompts,
            invalid: sound(&row.invalid_prompt),
            goodbye: sound(&row.goodbye_prompt),
            first_digit_ms: millis(row.first_digit_ms),
            inter_digit_ms: millis(row.inter_digit_ms),
            max_tries: u32::try_from(row.max_tries).unwrap_or(3),
            direct_dial: row.direct_dial,
            options: by_menu.remove(&row.id).unwrap_or_default(),
        };
        Some((name, Arc::new(menu)))
    };
    Ok(rows.into_iter().filter_map(parse).collect())
}
