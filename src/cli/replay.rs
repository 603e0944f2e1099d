//! `hookswitch replay`: a recorded call decided again from its stored inputs, against today's data; and, where a plugin is
//! named, with that plugin asked instead, answered what was answered then.

use std::sync::{Arc, Mutex, PoisonError};

use super::{connect_current, show, simulate};
use crate::app;
use crate::app::Error;
use crate::base::clock::Clock;
use crate::base::ids::{Id, TenantId};
use crate::calls;
use crate::config::Config;
use crate::plugins::{self, HostOf};
use crate::routing::ivr::ScriptedPhone;
use crate::routing::trace::Trace;
use crate::routing::types::{Hook, Inputs};
use crate::routing::{CallIds, Mode, Router, differs};
use crate::sandbox::{Answering, Ask, Asked, Host, Recorded, Unrecorded};

/// Which call.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// `HS_CALL_ID` of the call.
    #[arg(value_name = "CALL_ID")]
    call: Id,
    /// Ask this plugin instead of the number's own: its active version, or `name@3` for one, active or not. It is
    /// answered what was answered when the call came.
    #[arg(long, value_name = "NAME[@VERSION]")]
    plugin: Option<String>,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), Error> {
    let db = connect_current(config).await?;
    let row = calls::store::get(&db, None, &arguments.call).await?;
    let row = row.ok_or_else(|| Error::Said(format!("there is no call {}", arguments.call)))?;
    let recorded = calls::store::traces(&db, None, &arguments.call).await?;
    let recorded: Vec<Trace> = recorded
        .iter()
        .map(|text| {
            serde_json::from_str(text).map_err(|e| Error::Said(format!("a trace can't be read: {e}")))
        })
        .collect::<Result<_, _>>()?;
    let ids = CallIds { id: arguments.call, uniqueid: row.uniqueid, linkedid: row.linkedid };
    if let Some(plugin) = &arguments.plugin {
        let answers = Arc::new(Answers::default());
        let host = Arc::new(Answered(Arc::clone(&answers)));
        let router = app::router_answered_by(config, db.clone(), Clock::system(), host)?;
        let again = Again { db: &db, router, ids, plugin, answers };
        again.run(&recorded).await?;
        db.close().await;
        return Ok(());
    }
    let router = app::router(config, db.clone(), Clock::system())?;
    let mut different = 0;
    for (n, old) in recorded.iter().enumerate() {
        // What a later hook goes on from is what was decided then, not what would be decided now.
        let before = n.checked_sub(1).and_then(|n| recorded.get(n));
        let new = decide(&router, &ids, old, before, Mode::Replay, None).await;
        different += usize::from(told(old, &new));
    }
    db.close().await;
    println!("\n{} decision(s), {different} would differ today.", recorded.len());
    Ok(())
}

/// Decides a hook again that goes on from what was decided `before`.
async fn decide(
    router: &Router,
    ids: &CallIds,
    old: &Trace,
    before: Option<&Trace>,
    mode: Mode,
    control: Option<Arc<dyn Host>>,
) -> Trace {
    let (state, target) =
        before.map_or(("", ""), |trace| (trace.decision.state.as_str(), trace.decision.target.as_str()));
    let plugin = old.inputs.plugin.clone().filter(|_| mode == Mode::Replay);
    let inputs = Inputs { plugin, ..old.inputs.clone() };
    match old.hook {
        Hook::Route => router.route(ids, inputs, mode).await,
        Hook::Internal => router.internal(&ids.id, inputs, mode).await,
        Hook::Callback => router.callback(inputs, mode).await,
        Hook::Next => router.next(None, state, inputs).await,
        Hook::Script => router.script(ids, state, target, inputs, control).await,
        Hook::Ivr => {
            let mut phone = ScriptedPhone::new(&inputs.digits.clone());
            router.ivr(None, state, target, inputs, &mut phone).await
        }
    }
}

/// Prints what was decided, and what would be where that differs. Returns whether it does.
fn told(old: &Trace, new: &Trace) -> bool {
    let is_different = differs(&old.decision, &new.decision);
    if is_different {
        println!("DIFFERS; then:");
        show::trace(old);
        println!("now:");
    } else {
        println!("same:");
    }
    show::trace(new);
    is_different
}

/// A replay that asks a plugin.
struct Again<'a> {
    db: &'a crate::db::Db,
    router: Router,
    ids: CallIds,
    plugin: &'a str,
    answers: Arc<Answers>,
}

impl Again<'_> {
    /// Goes on until a decision differs: what came later in the call came of that one.
    async fn run(&self, recorded: &[Trace]) -> Result<(), Error> {
        let first = recorded.first().filter(|trace| trace.hook == Hook::Route);
        let first = first.ok_or_else(|| {
            Error::Said("no number asked for this call: it did not come from a trunk".into())
        })?;
        simulate::make_ready(&self.router, self.db, &first.inputs.dialled, Some(self.plugin)).await?;
        let tenant = recorded.iter().find_map(|trace| trace.decision.tenant.clone());
        let (name, _) = plugins::named(self.plugin).unwrap_or_default();
        let mut before: Option<Trace> = None;
        for (n, old) in recorded.iter().enumerate() {
            let is_its = before.as_ref().is_some_and(|trace| trace.decision.target == name);
            let asks = old.hook == Hook::Route || old.hook == Hook::Script && is_its;
            let (mode, control) = match asks {
                true => (Mode::Again, Some(Arc::<Answers>::clone(&self.answers) as Arc<dyn Host>)),
                false => (Mode::Replay, None),
            };
            if let (true, Some(tenant)) = (asks, &tenant) {
                self.answers.fill(self.kept(tenant, old).await?);
            }
            let new = decide(&self.router, &self.ids, old, before.as_ref(), mode, control).await;
            let is_different = told(old, &new);
            show::runs(&new);
            for ask in self.answers.unrecorded.take() {
                let ask = serde_json::to_string(&ask).unwrap_or_default();
                println!("  asked what was not asked then, and got no answer: {ask}");
            }
            if is_different {
                let left = recorded.len() - n - 1;
                println!("\nWith {} it differs; {left} later decision(s) came of the one then.", self.plugin);
                return Ok(());
            }
            before = Some(new);
        }
        println!("\n{} decision(s), the same with {}.", recorded.len(), self.plugin);
        Ok(())
    }

    async fn kept(&self, tenant: &TenantId, old: &Trace) -> Result<Vec<Asked>, Error> {
        Ok(plugins::answers(self.db, tenant, &self.ids.id, old.inputs.at_us).await?)
    }
}

/// What was answered when a call came, for one decision after another.
#[derive(Default)]
struct Answers {
    kept: Mutex<Option<Arc<Recorded<Arc<Unrecorded>>>>>,
    unrecorded: Arc<Unrecorded>,
}

impl Answers {
    fn fill(&self, kept: Vec<Asked>) {
        let kept = Arc::new(Recorded::new(kept, Arc::clone(&self.unrecorded)));
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }
}

impl Host for Answers {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            match kept {
                Some(kept) => kept.ask(ask).await,
                None => self.unrecorded.ask(ask).await,
            }
        })
    }
}

/// Every plugin gets the same answers.
struct Answered(Arc<Answers>);

impl HostOf for Answered {
    fn of(&self, _: &TenantId, _: &Id, _: &[String]) -> Arc<dyn Host> {
        Arc::<Answers>::clone(&self.0)
    }
}
