//! What people do to living calls, as requests to Asterisk.
//!
//! A call is Asterisk's dialplan's until a command needs more than that: then it is *taken*. An errand of the dialplan sends
//! the caller to us, whoever was called follows by what `Dial()` and `Queue()` do with a called channel whose caller has gone,
//! and both go on talking in a bridge of ours; that takes some milliseconds. What we do with each of our channels stands on it
//! ([`Place`]) when it comes, so that all of it outlives this process, and a command that gave up: whoever finds the channels
//! goes on.
//!
//! Whoever hangs up meanwhile wins: a request for a channel that is gone is answered with what there is. All that is done to a
//! call is done under its lock, by commands and by what follows from events (`follow`) alike.

mod books;
mod call_out;
mod commands;
mod follow;
mod invite;
mod monitor;
mod parties;
mod steward;
mod transfer;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use serde_json::json;

pub use call_out::{Click, Outside};
pub use commands::{Record, Which};
pub use follow::Follow;
pub use transfer::Step;

use self::parties::Pair;
use super::board::Board;
use super::table::{Call, Place, Table, variables};
use crate::ari::{Answer, AskError, Asterisk, Links, Request};
use crate::base::clock::Clock;
use crate::base::ids::{Id, IdSource, Name, TenantId};
use crate::config::limits::live as limits;
use crate::db::Db;
use crate::journal::Journal;
use crate::routing::{Router, Way};

/// The dialplan's context for channels that come to us.
const LIVE: &str = "hookswitch-live";
/// The dialplan's context where a call goes on that was handed to somebody.
const MOVED: &str = "hookswitch-moved";
/// The variable that says there who did it: a global name.
const MOVED_BY: &str = "HS_MOVED_BY";

/// Why a command was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// No Asterisk is connected that could do it.
    #[error("no Asterisk is connected over ARI")]
    NoPbx,
    /// The tenant has no such living call.
    #[error("the call is not alive")]
    NotLive,
    /// The call is not where this can be done.
    #[error("{0}")]
    State(&'static str),
    /// It ended meanwhile, or one of its parties hung up.
    #[error("somebody hung up meanwhile")]
    Gone,
    /// Where it should go is nowhere: the reason of the decision.
    #[error("{0}")]
    Target(String),
    /// The tenant has as many calls as it may: the limit's name.
    #[error("{0}")]
    Limit(String),
    /// Asterisk did not do it.
    #[error("Asterisk refused: {0}")]
    Pbx(String),
    /// Asterisk did not answer; it may be done all the same.
    #[error("{0}")]
    Away(AskError),
}

impl From<AskError> for Refusal {
    fn from(error: AskError) -> Self {
        match error {
            AskError::NotConnected => Self::NoPbx,
            other => Self::Away(other),
        }
    }
}

/// Acts on living calls.
#[derive(Debug)]
pub struct Control {
    /// The living calls.
    pub board: Arc<Board>,
    links: Links,
    router: Arc<Router>,
    journal: Journal,
    db: Db,
    ids: IdSource,
    clock: Clock,
    /// Seconds that a caller is parked at most.
    parked_s: i64,
    /// One command at a time for each call.
    locks: Mutex<HashMap<String, Weak<tokio::sync::Mutex<()>>>>,
    /// One at a time takes a slot.
    slots: tokio::sync::Mutex<()>,
    /// One look for who has been parked for too long at a time.
    looks: tokio::sync::Mutex<()>,
    /// Bridges that this process has made, and on which Asterisk: Asterisk keeps them until they are ended.
    bridges: Mutex<BTreeMap<String, String>>,
}

/// A call that nobody else does anything to.
struct Alone {
    /// The call as its group is known, whichever of its ids was named.
    id: Id,
    asterisk: String,
    linkedid: String,
    _lock: tokio::sync::OwnedMutexGuard<()>,
}

impl Control {
    /// With these parts.
    pub fn new(
        board: Arc<Board>,
        links: Links,
        router: Arc<Router>,
        (journal, db): (Journal, Db),
        (clock, parked_s): (Clock, i64),
    ) -> Arc<Self> {
        let ids = router.ids.clone();
        Arc::new(Self {
            board,
            links,
            router,
            journal,
            db,
            ids,
            clock,
            parked_s,
            locks: Mutex::default(),
            slots: tokio::sync::Mutex::default(),
            looks: tokio::sync::Mutex::default(),
            bridges: Mutex::default(),
        })
    }

    fn asterisk(&self, name: &str) -> Result<&Arc<Asterisk>, Refusal> {
        self.links.get(name).filter(|asterisk| asterisk.is_connected()).ok_or(Refusal::NoPbx)
    }

    /// Any that is connected: the first by name.
    fn any(&self) -> Result<&Arc<Asterisk>, Refusal> {
        self.links.all().find(|asterisk| asterisk.is_connected()).ok_or(Refusal::NoPbx)
    }

    /// Every configured Asterisk, and since when it is connected; microseconds since 1970 UTC.
    pub fn connections(&self) -> Vec<(String, Option<i64>)> {
        let connected = self.board.connected();
        let since = |one: &Arc<Asterisk>| (one.name().to_owned(), connected.get(one.name()).copied());
        self.links.all().map(since).collect()
    }

    async fn ask(&self, asterisk: &str, request: Request) -> Result<Answer, Refusal> {
        done(self.asterisk(asterisk)?.ask(request).await?)
    }

    /// As [`Control::ask`]; what is gone already is as good as ended.
    async fn end(&self, asterisk: &str, request: Request) -> Result<(), Refusal> {
        match self.ask(asterisk, request).await {
            Ok(_) | Err(Refusal::Gone) => Ok(()),
            Err(other) => Err(other),
        }
    }

    async fn hang_up_leg(&self, asterisk: &str, leg: &str) -> Result<(), Refusal> {
        self.end(asterisk, Request::delete("channels").part(leg).with("reason", "normal")).await
    }

    /// Writes on a channel what we do with it.
    async fn put(&self, asterisk: &str, leg: &str, place: Place) -> Result<(), Refusal> {
        self.set(asterisk, leg, variables::PLACE, &place.to_text()).await?;
        self.board.table().place(leg, place);
        self.board.touch();
        Ok(())
    }

    async fn set(&self, asterisk: &str, leg: &str, name: &str, value: &str) -> Result<(), Refusal> {
        let request = Request::post("channels").part(leg).part("variable");
        self.ask(asterisk, request.with("variable", name).with("value", value)).await.map(drop)
    }

    async fn join(&self, asterisk: &str, bridge: &str, leg: &str, place: Place) -> Result<(), Refusal> {
        self.put(asterisk, leg, place).await?;
        // Music that nobody began ends without harm.
        self.end(asterisk, Request::delete("channels").part(leg).part("moh")).await?;
        let request = Request::post("bridges").part(bridge).part("addChannel").with("channel", leg);
        self.ask(asterisk, request).await.map(drop)
    }

    /// Out of the talk, with music.
    async fn apart(&self, asterisk: &str, bridge: &str, leg: &str, place: Place) -> Result<(), Refusal> {
        self.put(asterisk, leg, place).await?;
        self.leave(asterisk, bridge, leg).await
    }

    async fn leave(&self, asterisk: &str, bridge: &str, leg: &str) -> Result<(), Refusal> {
        let request = Request::post("bridges").part(bridge).part("removeChannel").with("channel", leg);
        self.end(asterisk, request).await?;
        self.music(asterisk, leg).await
    }

    async fn music(&self, asterisk: &str, leg: &str) -> Result<(), Refusal> {
        self.ask(asterisk, Request::post("channels").part(leg).part("moh")).await.map(drop)
    }

    async fn bridge(&self, asterisk: &str, id: &str) -> Result<(), Refusal> {
        // Making it again is no harm.
        let request = Request::post("bridges").part(id).with("type", "mixing,proxy_media").with("name", id);
        self.end(asterisk, request).await?;
        self.made().insert(id.to_owned(), asterisk.to_owned());
        Ok(())
    }

    fn made(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends bridges of calls that are over, and of phones that listen no more.
    async fn sweep_bridges(&self) -> Result<(), Refusal> {
        let made = self.made().clone();
        let over: Vec<(String, String)> = {
            let table = self.board.table();
            let mut used: HashSet<String> = table.legs().filter_map(|leg| leg.bridge.clone()).collect();
            used.extend(table.calls().map(|(call, _)| format!("hs-{call}")));
            used.extend(table.legs().map(|leg| monitor::bridge_of(&leg.id)));
            let is_over = |(bridge, asterisk): &(String, String)| {
                // One that is away is asked when it is back.
                !used.contains(bridge) && self.asterisk(asterisk).is_ok()
            };
            made.into_iter().filter(is_over).collect()
        };
        for (bridge, asterisk) in over {
            self.end(&asterisk, Request::delete("bridges").part(&bridge)).await?;
            self.made().remove(&bridge);
        }
        Ok(())
    }

    /// Has the dialplan run an errand.
    async fn errand(&self, asterisk: &str, errand: &str, told: &[(&str, &str)]) -> Result<(), Refusal> {
        let app = self.asterisk(asterisk)?.app().to_owned();
        let variables: serde_json::Map<String, serde_json::Value> =
            told.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
        let request = Request::post("channels")
            .with("endpoint", format!("Local/{errand}@{}/n", super::table::ERRANDS))
            .with("app", app)
            .with("timeout", limits::ERRAND_S)
            .with("channelId", format!("hs-errand-{}", self.ids.next()))
            .json(json!({ "variables": variables }));
        self.ask(asterisk, request).await.map(drop)
    }

    /// One command at a time for each call.
    async fn alone(&self, linkedid: &str) -> tokio::sync::OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
            locks.retain(|_, lock| lock.strong_count() > 0);
            match locks.get(linkedid).and_then(Weak::upgrade) {
                Some(lock) => lock,
                None => {
                    let lock = Arc::new(tokio::sync::Mutex::new(()));
                    locks.insert(linkedid.to_owned(), Arc::downgrade(&lock));
                    lock
                }
            }
        };
        lock.lock_owned().await
    }

    fn see<T>(
        &self,
        (tenant, call): (&TenantId, &Id),
        see: impl FnOnce(&Call<'_>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let table = self.board.table();
        see(&table.call(tenant, call).ok_or(Refusal::NotLive)?)
    }

    /// The id by which a call's group is known, whichever of its ids is named.
    pub fn named(&self, (tenant, call): Which<'_>) -> Option<Id> {
        self.board.table().call(tenant, call).map(|call| call.id)
    }

    /// The Asterisk and linkedid of a call.
    fn place(&self, of: Which<'_>) -> Result<(Id, String, String), Refusal> {
        self.see(of, |call| {
            let leg = call.caller().ok_or(Refusal::NotLive)?;
            let asterisk = leg.seen_by.first().ok_or(Refusal::NoPbx)?;
            Ok((call.id.clone(), asterisk.clone(), leg.linkedid.clone()))
        })
    }

    /// Waits until nobody else does anything to a call. What is known of it is looked at afterwards.
    async fn enter(&self, of: Which<'_>) -> Result<Alone, Refusal> {
        let lock = self.alone(&self.place(of)?.2).await;
        let (id, asterisk, linkedid) = self.place(of)?;
        Ok(Alone { id, asterisk, linkedid, _lock: lock })
    }

    /// Who talks, seen from an endpoint: the one that is named, or the one that was called.
    fn pair(&self, of: Which<'_>, near: Option<&[Name]>) -> Result<Pair, Refusal> {
        self.see(of, |call| parties::pair(call, near))
    }

    fn bridge_of(&self, of: Which<'_>) -> Result<String, Refusal> {
        self.see(of, |call| Ok(parties::bridge_of(call)))
    }

    /// Takes a call from the dialplan, if we do not have it yet. Both parties go on talking.
    async fn take(&self, of: Which<'_>, near: Option<&[Name]>) -> Result<Pair, Refusal> {
        let pair = self.pair(of, near)?;
        if pair.ours {
            return Ok(pair);
        }
        let (a, b) = (&pair.caller, pair.called());
        let told = [("HS_A", a.name.as_str()), ("HS_B", b.name.as_str())];
        self.errand(&pair.asterisk, "take", &told).await?;
        let came = |table: &Table| match (table.leg(&a.id), table.leg(&b.id)) {
            (Some(a), Some(b)) => (a.ours && b.ours).then_some(true),
            _ => Some(false),
        };
        match self.board.until(came).await {
            Some(true) => {}
            // Who has come, or comes yet, is looked after: what we do with it stands on it.
            Some(false) => return Err(Refusal::Gone),
            None => return Err(Refusal::State("the call can't be taken from the dialplan now")),
        }
        let bridge = self.bridge_of(of)?;
        self.bridge(&pair.asterisk, &bridge).await?;
        for end in [a, b] {
            self.join(&pair.asterisk, &bridge, &end.id, Place::Talk).await?;
        }
        Ok(Pair { ours: true, ..pair })
    }

    /// What the rules say of a number that an endpoint would dial. Nothing is counted.
    async fn may(&self, tenant: &TenantId, from: &Name, to: &str) -> Result<Way, Refusal> {
        self.router.would_dial(tenant, from, to, false).await.map_err(Refusal::Target)
    }
}

fn done(answer: Answer) -> Result<Answer, Refusal> {
    if answer.is_done() {
        Ok(answer)
    } else if answer.is_gone() || answer.status == 400 {
        // 400 is also how Asterisk says that a channel which a parameter names is not there: of a bridge's new channel, of an
        // originator. Our parameters are made by us.
        tracing::debug!(status = answer.status, why = answer.why(), "Asterisk has no such channel any more");
        Err(Refusal::Gone)
    } else {
        Err(Refusal::Pbx(answer.why().to_owned()))
    }
}
