//! Destinations as the API takes them, checked by the code that routing uses, their targets looked up.

use serde_json::Value;

use super::named::Named;
use super::rules::SOUND;
use crate::api::{Fault, Field, Null, Record, Shape};
use crate::base::ids::TenantId;
use crate::config::limits::routing as limits;
use crate::db::Tx;
use crate::plugins;
use crate::routing::types::{Destination, DestinationError, RawDestination};
use crate::sandbox::World;

/// The types of destinations.
pub(super) static TYPES: &[&str] =
    &["queue", "endpoint", "ivr", "script", "external", "voicemail", "playback", "hangup"];

pub(super) const TARGET: Field = Field::text(
    "target",
    1,
    120,
    "Where: the name of a queue, endpoint, menu, call script (a plugin) or mailbox; a number in E.164; a sound; a Q.850 cause from 1 to 127.",
)
.example("\"support\"");
pub(super) const TIMEOUT: Field = Field::int(
    "timeout_s",
    0,
    limits::WAIT_S as i64,
    "Seconds to wait or ring; 0: what the queue or endpoint says itself.",
)
.default("0");
pub(super) const OPTIONS: Field = Field::maybe(
    "options",
    limits::OPTION_CHARS,
    "Options of the Asterisk application, letters only. Queue: cCdhHiIkKnrRtTwWxX; endpoint and external: \
     cChHiIkKmrRtTwWxX; voicemail: bus.",
)
.example("\"tT\"");
pub(super) const MESSAGE: Field =
    Field::rule("message", &SOUND, "A sound played first.").nullable(Null::Empty);

/// The JSON Schema of a list of destinations with roles, for answers.
pub(super) static LIST: Shape = Shape {
    bytes: 64 * 1024,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","properties":{"role":{"type":"string"},"type":{"type":"string"},"target":{"type":"string"},"timeout_s":{"type":"integer"},"options":{"type":["string","null"]},"message":{"type":["string","null"]}}}}"#,
    example: r#"[{"role":"fallback","type":"voicemail","target":"101","timeout_s":0,"options":null,"message":null}]"#,
};

fn text(item: &Record, name: &str) -> String {
    item.get(name).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// The destination in an item of a list.
pub(super) fn raw(item: &Value) -> RawDestination {
    let empty = Record::new();
    let item = item.as_object().unwrap_or(&empty);
    let seconds = item.get("timeout_s").and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    RawDestination {
        action: text(item, "type"),
        target: text(item, "target"),
        timeout_s: seconds.unwrap_or(0),
        options: text(item, "options"),
        message: text(item, "message"),
    }
}

/// A target that is right for an action: the options can then be checked although the real one is wrong.
fn some_target(action: &str) -> &'static str {
    match action {
        "external" => "+15550001000",
        "hangup" => "16",
        _ => "a",
    }
}

/// What is wrong with a destination: faults at `target` and `options`, which are paths in the body. `itself` is the
/// menu that is being written, and may lead to itself before it is there.
pub(super) async fn check(
    tx: &mut Tx,
    tenant: &TenantId,
    to: &RawDestination,
    (target, options): (&str, &str),
    itself: &str,
) -> sqlx::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let plain = RawDestination { options: String::new(), ..to.clone() };
    match Destination::check(&plain) {
        Err(error) => faults.push(Fault::at(target, format!("{error}."))),
        Ok(_) => {
            if to.action == "script" {
                let problem = plugins::unusable(tx, tenant, &to.target, &[World::CallScript]).await?;
                faults.extend(problem.map(|why| Fault::at(target, why)));
            }
            if let Some(named) = Named::of_type(&to.action)
                && !(named == Named::Menu && to.target == itself)
                && !named.exists(tx, tenant, &to.target).await?
            {
                faults.push(Fault::at(target, format!("There is no such {}.", named.one())));
            }
        }
    }
    let known =
        RawDestination { target: some_target(&to.action).to_owned(), message: String::new(), ..to.clone() };
    if let Err(error @ DestinationError::Options(..)) = Destination::check(&known) {
        faults.push(Fault::at(options, format!("{error}.")));
    }
    Ok(faults)
}

/// What is wrong with a list of destinations with roles; only `many` may be there more than once.
pub(super) async fn check_list(
    tx: &mut Tx,
    tenant: &TenantId,
    list: &[Value],
    many: &str,
) -> sqlx::Result<Vec<Fault>> {
    let mut faults = Vec::new();
    let mut roles: Vec<&str> = Vec::new();
    for (n, item) in list.iter().enumerate() {
        let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
        let before = roles.iter().filter(|other| **other == role).count();
        let most = if role == many { limits::OVERFLOWS } else { 1 };
        if before >= most {
            let why = format!("There can be {most} with this role at most.");
            faults.push(Fault::at(&format!("destinations/{n}/role"), why));
        }
        roles.push(role);
        let (target, options) = (format!("destinations/{n}/target"), format!("destinations/{n}/options"));
        faults.extend(check(tx, tenant, &raw(item), (&target, &options), "").await?);
    }
    Ok(faults)
}
