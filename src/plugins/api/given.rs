//! What a run was given: kept with it, or made again from the call or event that it was about.

use serde_json::{Value, json};

use super::{RUNS, shapes, text};
use crate::api::check::read_time;
use crate::api::{Action, Call, Field, Handler, Operation, Output, Problem, Record, Reply, crud};
use crate::base::ids::Id;
use crate::base::role::Roles;
use crate::events::outbox;
use crate::plugins::{Trigger, ticketer};
use crate::{routing, tenants};

static GIVEN: &[Field] =
    &[Field::json("input", &shapes::INPUT, "The call or event, as scripts see it.").server()];

const GONE: (u16, &str, &str) =
    (410, "input-gone", "The call or event that it was about is not kept any more.");

/// The operations.
pub(super) fn actions() -> Vec<Action> {
    vec![Action {
        operation: Operation {
            doc: "With its `trail` it is all that a run depended on besides the plugin's settings: the same version decides the \
                  same on it."
                .into(),
            output: Output::Object("PluginRunInput", GIVEN, 200),
            problems: &[GONE],
            ..Operation::new(
                "plugin-runs.input",
                "GET",
                "/plugins/{plugin_id}/runs/{id}/input",
                "Show what a run was given",
                Roles::SUPERVISORS,
            )
        },
        handler: Handler::read(|call| Box::pin(given(call))),
    }]
}

async fn given(call: &Call) -> Result<Reply, Problem> {
    let scope = crud::scope(call, &RUNS).await?;
    let run = crud::find(call, &RUNS, &scope).await?.ok_or_else(|| Problem::not_found(RUNS.one))?;
    let kept = run.get("input").filter(|input| !input.is_null()).cloned();
    let input = match kept {
        Some(input) => input,
        None => again(call, &run).await?.ok_or_else(|| Problem::new(GONE.0, GONE.1, GONE.2))?,
    };
    Ok(Reply::json(json!({"input": input})))
}

/// The input of a run whose call or event keeps it.
async fn again(call: &Call, run: &Record) -> Result<Option<Value>, Problem> {
    let (db, tenant, subject) = (&call.db, call.tenant()?, text(run, "subject_id"));
    let zone = tenants::tenant_of(db, tenant).await?.and_then(|tenant| tenant.zone.parse().ok());
    let zone = zone.unwrap_or(chrono_tz::UTC);
    match Trigger::parse(text(run, "trigger")) {
        Some(Trigger::Call) => {
            let Ok(id) = Id::parse(subject) else { return Ok(None) };
            let at_us = read_time(text(run, "created_at")).unwrap_or_default();
            let asked = routing::asked(db, tenant, &id, (at_us, zone)).await?;
            Ok(asked.map(|call| json!({"call": call})))
        }
        Some(Trigger::Event) => {
            let event = outbox::find(db, tenant, subject).await?;
            Ok(event.map(|event| json!({"event": ticketer::given(&event, zone)})))
        }
        _ => Ok(None),
    }
}
