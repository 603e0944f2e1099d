//! The demo's vip-router for Extism: the same questions, the same answer, with JSON where ours has types.

use extism_pdk::{FnResult, Json, LogLevel, config, host_fn, log, plugin_fn};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "a call is read whole, as ours is")]
struct Call {
    id: String,
    linked_id: String,
    direction: String,
    caller: Party,
    dialled: String,
    language: String,
    at: u64,
    local: Wall,
    seed: u64,
    variables: Vec<Field>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "a call is read whole, as ours is")]
struct Party {
    number: Option<String>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[expect(dead_code, reason = "a call is read whole, as ours is")]
struct Wall {
    year: u16,
    month: u8,
    day: u8,
    weekday: u8,
    hour: u8,
    minute: u8,
    second: u8,
    offset: i16,
}

#[derive(Deserialize, Serialize)]
struct Field {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct Contact {
    tags: Vec<String>,
}

#[derive(Serialize)]
struct Word<T> {
    tag: &'static str,
    val: T,
}

/// A decision.
#[derive(Serialize)]
pub struct Decision(Word<Plan>);

#[derive(Serialize)]
struct Plan {
    steps: Vec<Step>,
    reason: &'static str,
    variables: Vec<Field>,
}

#[derive(Serialize)]
struct Step {
    target: Word<String>,
}

#[host_fn]
extern "ExtismHost" {
    fn by_number(number: String) -> String;
}

fn is_vip(number: &str) -> FnResult<bool> {
    if number.is_empty() {
        return Ok(false);
    }
    if config::get("vip")?.is_some_and(|list| list.split(',').any(|listed| listed == number)) {
        return Ok(true);
    }
    // SAFETY: what the host gives by that name.
    let contact: Option<Contact> = serde_json::from_str(&unsafe { by_number(number.to_owned()) }?)?;
    Ok(contact.is_some_and(|contact| contact.tags.iter().any(|tag| tag == "vip")))
}

/// Decides one call.
#[plugin_fn]
pub fn route_call(Json(call): Json<Call>) -> FnResult<Json<Decision>> {
    let number = call.caller.number.as_deref().unwrap_or_default();
    let to = |name: &str, fallback: &str| -> FnResult<String> {
        Ok(config::get(name)?.unwrap_or_else(|| fallback.to_owned()))
    };
    let step = |tag, val| Step { target: Word { tag, val } };
    let queue = step("queue", to("queue", "support")?);
    let (who, steps, reason) = if is_vip(number)? {
        ("a VIP", vec![step("endpoint", to("endpoint", "101")?), queue], "vip")
    } else {
        ("not a VIP", vec![queue], "not vip")
    };
    log!(LogLevel::Info, "{number} is {who}");
    Ok(Json(Decision(Word { tag: "route", val: Plan { steps, reason, variables: Vec::new() } })))
}
