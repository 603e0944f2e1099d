//! The demo data: two tenants that use the same names on purpose, and a number for every route type.

use std::path::PathBuf;

use serde::Serialize;

use super::{demo_people, demo_phones, demo_plugins};
use crate::app::Error;
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, Name, Number, TenantId};
use crate::db::{Db, Tx};
use crate::endpoints::store::NewEndpoint;
use crate::queues::store::NewQueue;
use crate::routing::schedule::Schedule;
use crate::routing::store::write::{self, NewDid, NewMenu, NewWebhook, Role};
use crate::routing::types::RawDestination;
use crate::tenants::{Tenant, TenantStatus};
use crate::{endpoints, queues, tenants, voicemail};

/// Where acme's route webhook is asked unless told otherwise; `examples/webhook_receiver.rs` answers there.
pub(super) const WEBHOOK_URL: &str = "http://127.0.0.1:8099/route";
/// The demo's webhook secret: public, like the demo's passwords.
const WEBHOOK_SECRET: &str = "whsec_aG9va3N3aXRjaC1kZW1vLXdlYmhvb2stc2VjcmV0LTAx";
const WEBHOOK_NUMBER: &str = "+15550001003";

/// What can be chosen.
#[derive(Debug)]
pub(super) struct Options {
    pub(super) webhook_url: String,
    pub(super) plugins: PathBuf,
}

/// What `seed demo` says.
#[derive(Debug, Serialize)]
pub(super) struct Loaded {
    pub(super) tenants: Vec<LoadedTenant>,
    pub(super) numbers: Vec<LoadedNumber>,
    pub(super) logins: Vec<demo_people::Login>,
    pub(super) phones: Vec<demo_phones::Phone>,
    pub(super) webhook_secret: &'static str,
    pub(super) notes: Vec<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct LoadedTenant {
    pub(super) id: &'static str,
    pub(super) created: bool,
}

#[derive(Debug, Serialize)]
pub(super) struct LoadedNumber {
    pub(super) number: &'static str,
    pub(super) tenant: &'static str,
    pub(super) does: &'static str,
}

/// Number, what it does for people, route action and target, plugin.
const ACME: [(&str, &str, &str, &str, &str); 10] = [
    ("+15550001000", "queue support, after 20 s voicemail 101", "queue", "support", ""),
    ("+15550001001", "endpoint 101, then queue support", "endpoint", "101", ""),
    ("+15550001002", "menu: 1 queue, 2 endpoint, 9 voicemail", "ivr", "main", ""),
    (WEBHOOK_NUMBER, "webhook, its fallback voicemail 101", "webhook", "", ""),
    ("+15550001004", "external +15559990000", "external", "+15559990000", ""),
    ("+15550001005", "voicemail 101", "voicemail", "101", ""),
    ("+15550001006", "plugin vip-router, its fallback queue support", "queue", "support", "vip-router"),
    ("+15550001007", "plugin order-status, its fallback queue support", "queue", "support", "order-status"),
    ("+15550001008", "closed, then voicemail 101", "queue", "support", ""),
    ("+15550001009", "inactive", "queue", "support", ""),
];
const GLOBEX: (&str, &str) = ("+15550002000", "queue support of globex");

fn to(action: &str, target: &str, timeout_s: u32) -> RawDestination {
    RawDestination { action: action.into(), target: target.into(), timeout_s, ..RawDestination::default() }
}

fn said(error: impl std::fmt::Display) -> Error {
    Error::Said(format!("demo data: {error}"))
}

/// Loads what is missing, each tenant in one transaction.
pub(super) async fn load(db: &Db, clock: &Clock, options: &Options) -> Result<Loaded, Error> {
    let ids = IdSource::new(clock.clone());
    let mut loaded = Loaded {
        tenants: Vec::new(),
        numbers: Vec::new(),
        logins: Vec::new(),
        phones: Vec::new(),
        webhook_secret: WEBHOOK_SECRET,
        notes: Vec::new(),
    };
    for name in ["acme", "globex"] {
        let tenant = TenantId::parse(name).map_err(said)?;
        let created = tenants::store::get(db, &tenant).await?.is_none();
        if created {
            let mut tx = db.begin().await?;
            Loader { tx: &mut tx, tenant: &tenant, ids: &ids, now_us: clock.now_us() }
                .tenant(&options.webhook_url)
                .await?;
            tx.commit().await?;
        }
        loaded.tenants.push(LoadedTenant { id: name, created });
    }
    loaded.logins = demo_people::load(db, &ids, clock.now_us()).await?;
    loaded.phones = demo_phones::load(db, clock.now_us()).await?;
    move_webhook(db, clock, &options.webhook_url).await?;
    loaded.notes = demo_plugins::load(db, &ids, &options.plugins, clock.now_us()).await?;
    for (number, does, ..) in ACME {
        loaded.numbers.push(LoadedNumber { number, tenant: "acme", does });
    }
    loaded.numbers.push(LoadedNumber { number: GLOBEX.0, tenant: "globex", does: GLOBEX.1 });
    Ok(loaded)
}

async fn move_webhook(db: &Db, clock: &Clock, url: &str) -> Result<(), Error> {
    let (tenant, number) =
        (TenantId::parse("acme").map_err(said)?, Number::parse(WEBHOOK_NUMBER).map_err(said)?);
    let mut tx = db.begin().await?;
    let webhook = NewWebhook { url, second_url: "", secret: WEBHOOK_SECRET, timeout_ms: 2_000 };
    write::did_webhook(&mut tx, &tenant, &number, webhook, clock.now_us()).await?;
    tx.commit().await?;
    Ok(())
}

struct Loader<'a> {
    tx: &'a mut Tx,
    tenant: &'a TenantId,
    ids: &'a IdSource,
    now_us: i64,
}

impl Loader<'_> {
    async fn tenant(&mut self, webhook_url: &str) -> Result<(), Error> {
        let is_acme = self.tenant.as_str() == "acme";
        let tenant = Tenant {
            id: self.tenant.clone(),
            name: if is_acme { "Acme Corporation" } else { "Globex Corporation" }.into(),
            status: TenantStatus::Active,
            language: "en".into(),
            zone: "UTC".into(),
            max_agents: 50,
            max_dids: 100,
            max_concurrent_calls: 0,
            features: Vec::new(),
        };
        tenants::store::insert(self.tx, &tenant, self.now_us).await?;
        self.targets().await?;
        let fallback =
            Role { owner_kind: "tenant", owner_id: tenant.id.as_str(), role: "fallback", position: 0 };
        write::destination(self.tx, self.tenant, fallback, &to("voicemail", "101", 0)).await?;
        if !is_acme {
            return self.did(GLOBEX.0, "queue", "support", "", webhook_url).await.map(drop);
        }
        let (id, name) = (self.ids.next(), Name::parse("never").map_err(said)?);
        let never: Schedule =
            serde_json::from_str(r#"{"zone":"UTC","weekly":[],"holidays":[]}"#).map_err(said)?;
        write::schedule(self.tx, self.tenant, &id, &name, &never, self.now_us).await?;
        write::number_rule(self.tx, self.tenant, &self.ids.next(), ("block", "+15558880000"), 0, self.now_us)
            .await?;
        write::outbound_rule(self.tx, self.tenant, &self.ids.next(), "+1555", true, self.now_us).await?;
        self.menu().await?;
        for (number, _, action, target, plugin) in ACME {
            let id = self.did(number, action, target, plugin, webhook_url).await?;
            for (role, position, destination) in further(number) {
                let role = Role { owner_kind: "did", owner_id: id.as_str(), role, position };
                write::destination(self.tx, self.tenant, role, &destination).await?;
            }
        }
        Ok(())
    }

    /// Extension 101 with its mailbox, extension 102 without one, and queue support with 102 as its member.
    async fn targets(&mut self) -> Result<(), Error> {
        let (extension, support) = (Name::parse("101").map_err(said)?, Name::parse("support").map_err(said)?);
        let agent = Name::parse("102").map_err(said)?;
        let (mailbox, endpoint, queue) = (self.ids.next(), self.ids.next(), self.ids.next());
        voicemail::store::insert(self.tx, self.tenant, &mailbox, &extension, "Extension 101", self.now_us)
            .await?;
        let new = NewEndpoint {
            id: &endpoint,
            name: &extension,
            display_name: "Extension 101",
            mailbox: "101",
            ring_timeout_s: 20,
        };
        endpoints::store::insert(self.tx, self.tenant, &new, self.now_us).await?;
        let member = self.ids.next();
        let new =
            NewEndpoint { id: &member, name: &agent, display_name: "Extension 102", mailbox: "", ..new };
        endpoints::store::insert(self.tx, self.tenant, &new, self.now_us).await?;
        let new = NewQueue {
            id: &queue,
            name: &support,
            display_name: "Support",
            extension: "600",
            strategy: "rrmemory",
            max_wait_s: 20,
        };
        queues::store::insert(self.tx, self.tenant, &new, self.now_us).await?;
        queues::store::insert_member(
            self.tx,
            self.tenant,
            &self.ids.next(),
            (&queue, &member),
            0,
            self.now_us,
        )
        .await?;
        Ok(())
    }

    async fn menu(&mut self) -> Result<(), Error> {
        let (id, name) = (self.ids.next(), Name::parse("main").map_err(said)?);
        let menu = NewMenu {
            id: &id,
            name: &name,
            prompts: r#"{"":"vm-enter-num-to-call"}"#,
            invalid_prompt: "pbx-invalid",
            goodbye_prompt: "vm-goodbye",
            first_digit_ms: 5_000,
            inter_digit_ms: 2_000,
            max_tries: 3,
            direct_dial: false,
            options: vec![
                ("1", to("queue", "support", 0)),
                ("2", to("endpoint", "101", 0)),
                ("9", to("voicemail", "101", 0)),
                ("0", to("repeat", "", 0)),
                ("#", to("goodbye", "", 0)),
            ],
        };
        write::menu(self.tx, self.tenant, &menu, self.now_us).await?;
        Ok(())
    }

    async fn did(
        &mut self,
        number: &str,
        action: &str,
        target: &str,
        plugin: &str,
        url: &str,
    ) -> Result<Id, Error> {
        let (id, number) = (self.ids.next(), Number::parse(number).map_err(said)?);
        let webhook = NewWebhook { url, second_url: "", secret: WEBHOOK_SECRET, timeout_ms: 2_000 };
        let closed = number.as_str().ends_with("1008");
        let new = NewDid {
            id: &id,
            number: &number,
            name: "Demo",
            status: if number.as_str().ends_with("1009") { "inactive" } else { "active" },
            route: to(action, target, 0),
            plugin,
            schedule: if closed { "never" } else { "" },
            record: false,
            max_calls: 0,
            webhook: Some(webhook).filter(|_| action == "webhook"),
        };
        write::did(self.tx, self.tenant, &new, self.now_us).await?;
        Ok(id)
    }
}

/// Destinations of a number besides its route: role, place, destination.
fn further(number: &str) -> Vec<(&'static str, u32, RawDestination)> {
    match number {
        "+15550001000" => vec![("overflow", 0, to("voicemail", "101", 0))],
        "+15550001001" => vec![("overflow", 0, to("queue", "support", 0))],
        WEBHOOK_NUMBER => vec![("fallback", 0, to("voicemail", "101", 0))],
        "+15550001006" | "+15550001007" => vec![("fallback", 0, to("queue", "support", 0))],
        "+15550001008" => vec![("closed", 0, to("voicemail", "101", 0))],
        _ => Vec::new(),
    }
}
