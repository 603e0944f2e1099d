//! `GET /queues/live`: the wallboard of a tenant, and where its events go on.

use std::sync::Arc;

use serde_json::{Value, json};

use super::QUEUES;
use crate::agents::AGENTS;
use crate::api::check::show_time;
use crate::api::store::{self, List, Scope};
use crate::api::{Access, Action, Call, Doing, Field, Handler, Operation, Output, Problem, Reply, Shape};
use crate::config::limits::agents as limits;
use crate::events::{self, outbox};
use crate::queues::board::Wall;

static STATS: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object"}}"#,
    example: r#"[{"queue_id":"01kb2x8v9q3d5s7f1g4h6j8k0m","queue":"support","waiting":2,
        "longest_wait_since":"2026-11-22T11:21:37.537288Z","talking":1,"agents_available":0,"agents_busy":1,"agents_paused":1,
        "agents_offline":0,"day":"2026-11-21T23:00:00Z","offered":40,"answered":35,"abandoned":2,"abandoned_short":1,
        "service_level":87.18,"service_level_s":20,"answer_average_ms":9000}]"#,
};

static STATES: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object"}}"#,
    example: r#"[{"id":"01kb2x8v9q3d5s7f1g4h6j8k0m","state":"busy","reachable":true}]"#,
};

static BOARD: &[Field] = &[
    Field::text("cursor", 1, 300, "Where the events go on: `after` of the socket and of GET /events."),
    Field::time("at", "The moment that is shown."),
    Field::json("queues", &STATS, "Each queue as `queue.stats` tells it, by id; 1,000 at most."),
    Field::json(
        "agents",
        &STATES,
        "Each agent as GET /agents shows it, the first made first; 2,000 at most.",
    ),
];

pub(super) fn action(wall: &Arc<Wall>) -> Action {
    let wall = Arc::clone(wall);
    Action {
        operation: Operation {
            doc: "For a wall: read this once, subscribe to `queue.stats`, `queue.*`, `agent.*` and `endpoint.*` after `cursor`, \
                  and replace what each event tells of: nothing is missed in between. What the snapshot has already may be told \
                  once more. `reachable` of an agent follows endpoint.registered and endpoint.unregistered of its phone. A key \
                  without the scope agents:read gets no agents."
                .into(),
            output: Output::Object("QueueBoard", BOARD, 200),
            ..Operation::new(
                "queues.board",
                "GET",
                "/queues/live",
                "See all queues and agents now",
                QUEUES.may.read,
            )
        },
        handler: Handler::read(move |call| show(Arc::clone(&wall), call)),
    }
}

fn show(wall: Arc<Wall>, call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, now_us) = (call.tenant()?, call.now_us());
        // First: what happens while the rest is read is told behind it.
        let (_, position) = outbox::bounds(&call.db, tenant).await?;
        let numbers = wall.look(&call.db, (tenant, now_us)).await?;
        let scopes = call.caller()?.scopes.as_ref();
        let agents = match scopes.is_none_or(|scopes| scopes.allow("agents", Access::Read)) {
            true => agents(call).await?,
            false => Vec::new(),
        };
        Ok(Reply::json(json!({
            "cursor": events::api::seal(&call.cursors, tenant, position), "at": show_time(now_us),
            "queues": numbers.queues.into_values().map(Value::Object).collect::<Vec<Value>>(), "agents": agents,
        })))
    })
}

async fn agents(call: &Call) -> Result<Vec<Value>, Problem> {
    let sort = AGENTS.field("created_at").ok_or_else(|| Problem::not_found("order"))?;
    let (limit, scope) = (limits::WALL_AGENTS, Scope::tenant(call.tenant()?));
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let list =
        List { sort, descending: false, limit, after: None, filters: Vec::new(), search: None, whole: true };
    let page = store::list(&call.db, &AGENTS, &scope, &list).await?;
    Ok(page.records.into_iter().map(Value::Object).collect())
}
