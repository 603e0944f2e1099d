//! `hookswitch replay`: a recorded call decided again from its stored inputs, against today's data.

use super::{connect_current, show};
use crate::app;
use crate::app::Error;
use crate::base::clock::Clock;
use crate::base::ids::Id;
use crate::calls;
use crate::config::Config;
use crate::routing::ivr::ScriptedPhone;
use crate::routing::trace::Trace;
use crate::routing::types::Hook;
use crate::routing::{CallIds, Mode, differs};

/// Which call.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// `HS_CALL_ID` of the call.
    #[arg(value_name = "CALL_ID")]
    call: Id,
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
    let router = app::router(config, db.clone(), Clock::system())?;
    let ids = CallIds { id: arguments.call, uniqueid: row.uniqueid, linkedid: row.linkedid };
    let mut different = 0;
    for (n, old) in recorded.iter().enumerate() {
        // What a later hook goes on from is what was decided then, not what would be decided now.
        let before = n.checked_sub(1).and_then(|n| recorded.get(n)).map(|t| &t.decision);
        let (state, target) = before.map_or(("", ""), |d| (d.state.as_str(), d.target.as_str()));
        let inputs = old.inputs.clone();
        let new = match old.hook {
            Hook::Route => router.route(&ids, inputs, Mode::Replay).await,
            Hook::Internal => router.internal(&ids.id, inputs, Mode::Replay).await,
            Hook::Next => router.next(state, inputs).await,
            Hook::Script => router.script(&ids, state, target, inputs, None).await,
            Hook::Ivr => {
                let mut phone = ScriptedPhone::new(&inputs.digits.clone());
                router.ivr(state, target, inputs, &mut phone).await
            }
        };
        if differs(&old.decision, &new.decision) {
            different += 1;
            println!("DIFFERS; then:");
            show::trace(old);
            println!("now:");
            show::trace(&new);
        } else {
            println!("same:");
            show::trace(&new);
        }
    }
    db.close().await;
    println!("\n{} decision(s), {different} would differ today.", recorded.len());
    Ok(())
}
