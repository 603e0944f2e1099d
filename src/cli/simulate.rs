//! `hookswitch simulate`: the real decision code without a call.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{connect_current, show};
use crate::app;
use crate::app::Error;
use crate::base::clock::Clock;
use crate::base::ids::Number;
use crate::config::Config;
use crate::db::Db;
use crate::routing::ivr::ScriptedPhone;
use crate::routing::memory::Found;
use crate::routing::trace::Trace;
use crate::routing::types::{Action, Decision, Inputs};
use crate::routing::{CallIds, Mode, Router};
use crate::sandbox::{Host, Scripted, World};

/// Menus and scripts that one call goes through at most.
const DIALOGUES: usize = 20;

/// What is simulated.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The number that is called.
    #[arg(long)]
    did: String,
    /// Who calls.
    #[arg(long, default_value = "+15557770009")]
    caller: String,
    /// When; now if not given.
    #[arg(long, value_name = "RFC3339")]
    at: Option<DateTime<Utc>>,
    /// Keys the caller presses in menus, one after another; `-` lets a wait run out, `!` hangs up.
    #[arg(long, default_value = "")]
    digits: String,
    /// Ask this plugin instead of the number's own: its active version, or `name@3` for one, active or not.
    #[arg(long, value_name = "NAME[@VERSION]")]
    plugin: Option<String>,
    /// Print the traces as JSON.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(config: &Config, arguments: Arguments) -> Result<(), Error> {
    let db = connect_current(config).await?;
    let clock = arguments.at.map_or_else(Clock::system, Clock::manual);
    let router = app::router(config, db.clone(), clock.clone())?;
    make_ready(&router, &db, &arguments.did, arguments.plugin.as_deref()).await?;
    let id = router.ids.next();
    let call = CallIds { uniqueid: format!("simulated-{id}"), linkedid: format!("simulated-{id}"), id };
    let inputs = Inputs {
        at_us: clock.now_us(),
        dialled: arguments.did,
        caller: arguments.caller,
        ..Inputs::default()
    };
    let mut traces: Vec<Trace> = vec![router.route(&call, inputs.clone(), Mode::Live).await];
    let mut keys = arguments.digits.as_str();
    while traces.len() < DIALOGUES
        && let Some(Decision { action: action @ (Action::Ivr | Action::Script), state, target, .. }) =
            traces.last().map(|trace| trace.decision.clone())
    {
        let trace = if action == Action::Ivr {
            let mut phone = ScriptedPhone::new(keys);
            let trace = router.ivr(None, &state, &target, inputs.clone(), &mut phone).await;
            // What one dialogue has used up is gone for the next.
            keys = keys.get(trace.inputs.digits.len()..).unwrap_or_default();
            trace
        } else {
            let at_ms = u64::try_from(inputs.at_us / 1_000).unwrap_or_default();
            let caller = Arc::new(Scripted::new(keys, at_ms));
            let control: Arc<dyn Host> = Arc::clone(&caller) as Arc<dyn Host>;
            let trace = router.script(&call, &state, &target, inputs.clone(), Some(control)).await;
            let left = caller.left();
            keys = &keys[keys.len() - left.len()..];
            if !arguments.json {
                caller.heard().iter().for_each(|line| println!("the caller {line}"));
            }
            trace
        };
        traces.push(trace);
    }
    db.close().await;
    if arguments.json {
        println!("{}", serde_json::to_string_pretty(&traces).map_err(|e| Error::Said(e.to_string()))?);
    } else {
        for trace in &traces {
            show::trace(trace);
            if arguments.plugin.is_some() {
                show::runs(trace);
            }
        }
    }
    Ok(())
}

/// A running service knows its tenants, and their plugins are ready: so that the steps cost what they cost there, however
/// long this takes here.
pub(super) async fn make_ready(
    router: &Router,
    db: &Db,
    dialled: &str,
    instead: Option<&str>,
) -> Result<(), Error> {
    let number = Number::from_dialled(dialled);
    if let Some(plugin) = instead {
        let number = number.as_ref().map_err(|error| Error::Said(format!("{dialled}: {error}")))?;
        router.ask_instead(db, number, plugin).await.map_err(Error::Said)?;
    }
    if let Ok(number) = number
        && let Found::Rules((rules, _)) = router.memory.by_number(&number).await
    {
        let setups: Vec<_> =
            rules.plugins.values().filter(|setup| setup.kind != World::Ticketer).map(Arc::clone).collect();
        router.plugins.prepare(&rules.tenant, &setups).await;
    }
    Ok(())
}
