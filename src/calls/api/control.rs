//! `POST /calls` and what is done to living calls.

use std::sync::Arc;

use serde_json::{Value, json};

use super::live::own_endpoints;
use crate::api::{
    Action, Audited, Call, Field, Handler, Input, Null, Operation, Output, Problem, Record, Reply, Rule,
    crud, rules,
};
use crate::base::ids::{Id, Name, TenantId};
use crate::base::role::{Role, Roles};
use crate::calls::control::{Click, Control, Record as Recording, Refusal, Which};
use crate::calls::table::{Leg, Mode, Place, State};
use crate::config::limits::live as limits;
use crate::db::db_read;

static DIALLED: Rule = Rule {
    format: "dialled",
    pattern: "^[+*#0-9][*#0-9]{0,31}$",
    max: limits::NUMBER_CHARACTERS,
    check: |text| {
        let is_plain = |c: char| c.is_ascii_digit() || "*#".contains(c);
        let mut all = text.chars();
        let first = all.next().is_some_and(|c| is_plain(c) || c == '+');
        if first && all.all(is_plain) && text.len() <= limits::NUMBER_CHARACTERS {
            Ok(text.to_owned())
        } else {
            Err("This must be an extension, a feature code or a number, as a phone dials it.".into())
        }
    },
    example: "+15557770001",
};

static DIGITS: Rule = Rule {
    format: "digits",
    pattern: "^[*#0-9A-D]{1,32}$",
    max: limits::DIGITS,
    check: |text| {
        let fits = (1..=limits::DIGITS).contains(&text.len());
        if fits && text.bytes().all(|b| b.is_ascii_digit() || b"*#ABCD".contains(&b)) {
            Ok(text.to_owned())
        } else {
            Err("This must be up to 32 of 0-9, *, #, A-D.".into())
        }
    },
    example: "12#",
};

const SIDE: Field = Field::rule(
    "endpoint",
    &rules::NAME,
    "The endpoint that acts, one of those who talk; not given: an agent's own, else the one that was called.",
)
.nullable(Null::Null)
.default("null");
const PHONE: Field =
    Field::rule("phone", &rules::NAME, "The endpoint that is called; not given: the own one.")
        .nullable(Null::Null)
        .default("null");
const TO: Field = Field::rule("to", &DIALLED, "As the endpoint that acts would dial it.");

static SIDED: &[Field] = &[SIDE];
static MUTE: &[Field] = &[SIDE, Field::flag("on", "Whether its microphone is off.").default("true")];
static KEYS: &[Field] = &[SIDE, Field::rule("digits", &DIGITS, "The keys.")];
static TRANSFER: &[Field] =
    &[SIDE, TO, Field::flag("attended", "Whether who is called is asked first.").default("false")];
static CONFER: &[Field] = &[SIDE, TO];
static RECORD: &[Field] = &[SIDE, Field::one_of("action", Recording::WORDS, "What is done.")];
static MONITOR: &[Field] = &[
    SIDE,
    PHONE,
    Field::one_of("mode", &["listen", "whisper", "barge", "stop"], "How much is said; stop ends it.")
        .default("\"listen\""),
];
static TAKE_OVER: &[Field] = &[SIDE, PHONE];
static PICK_UP: &[Field] = &[PHONE];
static NONE: &[Field] = &[];
static CLICK: &[Field] = &[
    Field::rule("from", &rules::NAME, "The endpoint that rings first; not given: the own one.")
        .nullable(Null::Null)
        .default("null"),
    Field::rule("to", &DIALLED, "The number or extension that is called then."),
    Field::rule("caller_id", &rules::NUMBER, "The number that is shown to it: one of the tenant's DIDs.")
        .nullable(Null::Null)
        .default("null"),
];

static DONE: &[Field] = &[
    Field::id("call_id", "The call."),
    Field::text("command", 1, 20, "What was done.").example("\"hold\""),
    Field::one_of(
        "state",
        &["over", "routing", "ringing", "waiting", "held", "parked", "talking", "conference"],
        "What the call does now; over: it is no more.",
    ),
    Field::int("slot", 0, 9_999, "The slot it is in.").nullable(Null::Null),
];

static PROBLEMS: &[(u16, &str, &str)] = &[
    (404, "not-live", "The tenant has no such living call."),
    (409, "call-state", "The call is not where this can be done."),
    (409, "call-gone", "Somebody hung up meanwhile."),
    (409, "call-limit", "The tenant has as many calls as it may; the detail names the limit."),
    (409, "no-pbx", "No Asterisk is connected over ARI."),
    (409, "no-phone", "Nobody said which endpoint, and there is no own one."),
    (422, "no-destination", "By the rules that number leads nowhere, or the endpoint can't be called."),
    (502, "pbx-refused", "Asterisk refused; the detail says what it said."),
    (
        504,
        "pbx-silent",
        "Asterisk did not answer; it may be done all the same. A call that was to begin is taken back.",
    ),
];

/// A command: its word in the path, what it says of itself, who may, its fields.
struct Command(&'static str, &'static str, &'static str, Roles, &'static [Field]);

const COMMANDS: [Command; 14] = [
    Command("hangup", "End a call", "Every channel of it ends.", Roles::AGENTS, NONE),
    Command("hold", "Hold the other side", "It hears music.", Roles::AGENTS, SIDED),
    Command("unhold", "Take the other side back", "", Roles::AGENTS, NONE),
    Command("mute", "Turn a microphone off or on", "", Roles::AGENTS, MUTE),
    Command("dtmf", "Send keys", "The other side hears them.", Roles::AGENTS, KEYS),
    Command(
        "transfer",
        "Hand a call on",
        "At once; or, attended, the other side hears music while the endpoint that acts talks to who is called: then \
         /transfer/complete or /transfer/cancel. Hanging up completes it too.",
        Roles::AGENTS,
        TRANSFER,
    ),
    Command("transfer/complete", "Hand the call to whom was asked", "", Roles::AGENTS, NONE),
    Command("transfer/cancel", "Let go of who is asked", "The other side is back.", Roles::AGENTS, NONE),
    Command("conference", "Call somebody into the talk", "", Roles::AGENTS, CONFER),
    Command(
        "park",
        "Put the other side into a slot",
        "Anybody of the tenant may take it.",
        Roles::AGENTS,
        SIDED,
    ),
    Command(
        "pickup",
        "Take a parked caller",
        "The phone rings, and talks to the caller.",
        Roles::AGENTS,
        PICK_UP,
    ),
    Command(
        "record",
        "Record a call",
        "A pause keeps no sound and no silence. All of a call's recordings are in one file.",
        Roles::AGENTS,
        RECORD,
    ),
    Command(
        "monitor",
        "Listen, whisper or barge in",
        "The phone rings, and hears the call. Asked again for the same phone it changes the mode.",
        Roles::SUPERVISORS,
        MONITOR,
    ),
    Command(
        "takeover",
        "Take an agent's place",
        "The phone rings; the agent is free then.",
        Roles::SUPERVISORS,
        TAKE_OVER,
    ),
];

/// The commands; without a control they are only described.
pub(super) fn actions(control: Option<&Arc<Control>>) -> Vec<Action> {
    let mut all: Vec<Action> = COMMANDS.into_iter().map(|command| action(command, control)).collect();
    let mut operation = Operation::new("calls.create", "POST", "/calls", "Call somebody", Roles::AGENTS);
    operation.doc = "The phone of `from` rings first; when it is answered the number is called as if that phone had dialled \
                     it, by the same rules. The call is on record at once."
        .into();
    operation.input = Input::New(CLICK, &[]);
    operation.output = Output::Object("CallCommand", DONE, 201);
    operation.problems = PROBLEMS;
    let control = control.cloned();
    let handler = Handler::prepared(
        move |call| {
            let control = control.clone();
            Box::pin(async move { click(call, control.as_ref()).await })
        },
        |call, _| Box::pin(async move { Ok(reply(call, "create")) }),
    );
    all.push(Action { operation, handler });
    all
}

fn action(Command(word, summary, doc, who, fields): Command, control: Option<&Arc<Control>>) -> Action {
    let mut operation = Operation::new("", "POST", "/calls/{id}", summary, who);
    operation.id = format!("calls.{}", word.replace('/', "_")).into();
    operation.path = format!("/calls/{{id}}/{word}").into();
    operation.doc = doc.into();
    operation.input = if fields.is_empty() { Input::None } else { Input::New(fields, &[]) };
    operation.output = Output::Object("CallCommand", DONE, 200);
    operation.problems = PROBLEMS;
    let control = control.cloned();
    let handler = Handler::prepared(
        move |call| {
            let control = control.clone();
            Box::pin(async move { run(call, &*needed(control.as_ref(), Refusal::NotLive)?, word).await })
        },
        move |call, _| Box::pin(async move { Ok(reply(call, word)) }),
    );
    Action { operation, handler }
}

fn needed(control: Option<&Arc<Control>>, otherwise: Refusal) -> Result<Arc<Control>, Problem> {
    control.cloned().ok_or_else(|| problem(otherwise))
}

/// What was done is put on record after it was done: Asterisk can't take it back.
fn reply(call: &Call, word: &'static str) -> Reply {
    let done = call.prepared.clone();
    let id = done.get("call_id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut reply = Reply::json(Value::Object(done));
    if word == "create" {
        reply.status = 201;
        reply.location = Some(format!("/api/v1/calls/{id}"));
    }
    let mut after = call.body.clone();
    // Keys are PINs and cards' numbers: how many there were is enough.
    if let Some(keys) = after.remove("digits") {
        after.insert("keys".into(), keys.as_str().map_or(0, |keys| keys.chars().count()).into());
    }
    after.insert("command".into(), word.into());
    reply.audited(Audited {
        action: format!("calls.{}", word.replace('/', "_")).into(),
        object_type: "call-commands".into(),
        object_id: id,
        before: Record::new(),
        after,
    })
}

fn problem(refusal: Refusal) -> Problem {
    let detail = refusal.to_string();
    match refusal {
        Refusal::NoPbx => {
            Problem::conflict("no-pbx", "No Asterisk is connected over ARI; see asterisk/README.md.")
        }
        Refusal::NotLive => Problem::new(404, "not-live", "There is no such living call."),
        Refusal::State(why) => Problem::conflict("call-state", format!("This can't be done now: {why}.")),
        Refusal::Gone => Problem::conflict("call-gone", "Somebody hung up meanwhile."),
        Refusal::Limit(limit) => {
            Problem::conflict("call-limit", format!("The tenant has as many calls as it may: {limit}."))
        }
        Refusal::Target(reason) => {
            Problem::new(422, "no-destination", format!("That can't be called: {reason}."))
        }
        Refusal::Pbx(_) => Problem::new(502, "pbx-refused", detail),
        Refusal::Away(_) => Problem::new(504, "pbx-silent", detail),
    }
}

fn name(call: &Call, field: &str) -> Result<Option<Name>, Problem> {
    let text = call.text(field);
    if text.is_empty() { Ok(None) } else { Name::parse(text).map(Some).map_err(Problem::internal) }
}

async fn click(call: &Call, control: Option<&Arc<Control>>) -> Result<Record, Problem> {
    const THERE: &str = "SELECT COUNT(*) FROM endpoints WHERE tenant_id = ? AND name = ?";
    const OWNED: &str = "SELECT COUNT(*) FROM dids WHERE tenant_id = ? AND number = ? AND status = 'active' AND deleted_at = 0";
    let tenant: &TenantId = call.tenant()?;
    let from = phone(call, "from").await?;
    let there: i64 = db_read!(&call.db, |p| sqlx::query_scalar(THERE)
        .bind(tenant.as_str())
        .bind(from.as_str())
        .fetch_one(p)
        .await?);
    if there == 0 {
        return Err(Problem::invalid_field("from", "There is no such endpoint."));
    }
    let shows = call.text("caller_id").to_owned();
    if !shows.is_empty() {
        let owned: i64 = db_read!(&call.db, |p| sqlx::query_scalar(OWNED)
            .bind(tenant.as_str())
            .bind(&shows)
            .fetch_one(p)
            .await?);
        if owned == 0 {
            return Err(Problem::invalid_field("caller_id", "This is none of the tenant's active DIDs."));
        }
    }
    let click = Click { tenant: tenant.clone(), from, to: call.text("to").to_owned(), shows };
    let control = needed(control, Refusal::NoPbx)?;
    let id = control.click(&click).await.map_err(problem)?;
    Ok(done(&control, (tenant, &id), "create", State::Ringing.as_str()))
}

/// The endpoint that is to ring: the one that is named, else the own one. An agent names only an own one.
async fn phone(call: &Call, field: &str) -> Result<Name, Problem> {
    let named = name(call, field)?;
    let is_agent = call.caller()?.role == Role::Agent;
    if let Some(named) = named.clone().filter(|_| !is_agent) {
        return Ok(named);
    }
    let own = own_endpoints(call).await?;
    match named {
        Some(named) if own.contains(&named) => Ok(named),
        Some(_) => Err(Problem::not_yours("An agent calls with the own phone.")),
        None => own
            .into_iter()
            .next()
            .ok_or_else(|| Problem::conflict("no-phone", "Say which endpoint; you have none of your own.")),
    }
}

/// The endpoints one may act for: an agent's own, which must be on the call; for others the one that is named. Anybody may
/// take a parked caller, and nobody else's phone that only rings makes its agent a party of the call.
async fn sides(
    call: &Call,
    control: &Control,
    of: Which<'_>,
    word: &str,
) -> Result<Option<Vec<Name>>, Problem> {
    let named = name(call, "endpoint")?;
    if call.caller()?.role != Role::Agent {
        return Ok(named.map(|name| vec![name]));
    }
    let own = own_endpoints(call).await?;
    if named.as_ref().is_some_and(|named| !own.contains(named)) {
        return Err(Problem::not_yours("An agent acts only for the own phone."));
    }
    let table = control.board.table();
    let live = table.call(of.0, of.1).ok_or_else(|| problem(Refusal::NotLive))?;
    let owns = |leg: &&&Leg| {
        leg.endpoint.as_ref().is_some_and(|(of, name)| *of == live.tenant && own.contains(name))
    };
    let caller = live.caller().map(|leg| leg.id.as_str());
    let rings = live.legs.iter().any(|leg| owns(&leg));
    let is_on = live.legs.iter().filter(owns).any(|leg| leg.is_up() || Some(leg.id.as_str()) == caller);
    let parked = live.legs.iter().any(|leg| matches!(leg.place, Place::Parked(_)));
    match (is_on, word) {
        (true, _) => Ok(Some(named.map_or_else(|| own.clone(), |named| vec![named]))),
        (false, "pickup") if parked => Ok(None),
        (false, _) if rings => Err(problem(Refusal::State("your phone has not answered"))),
        // Somebody else's is nobody's.
        (false, _) => Err(problem(Refusal::NotLive)),
    }
}

async fn run(call: &Call, control: &Control, word: &'static str) -> Result<Record, Problem> {
    let tenant: &TenantId = call.tenant()?;
    let id = Id::parse(call.part(crud::ID)).map_err(|_| problem(Refusal::NotLive))?;
    // Two calls that were joined are one, known by the first one's id.
    let id = control.named((tenant, &id)).ok_or_else(|| problem(Refusal::NotLive))?;
    let of: Which<'_> = (tenant, &id);
    let near = sides(call, control, of, word).await?;
    let near = near.as_deref();
    let to = call.text("to");
    let is_on = |field: &str| call.body.get(field).and_then(Value::as_bool).unwrap_or(false);
    let made = match word {
        "hangup" => control.hang_up(of).await,
        "hold" => control.hold(of, near).await,
        "unhold" => control.unhold(of).await,
        "mute" => control.mute(of, near, is_on("on")).await,
        "dtmf" => control.dtmf(of, near, call.text("digits")).await,
        "transfer" if is_on("attended") => control.ask_first(of, near, to).await.map(drop),
        "transfer" => control.transfer(of, near, to).await,
        "transfer/complete" => control.complete(of).await.map(drop),
        "transfer/cancel" => control.cancel(of).await.map(drop),
        "conference" => control.confer(of, near, to).await,
        "park" => control.park(of, near).await.map(drop),
        "pickup" => control.pick_up(of, &phone(call, "phone").await?).await,
        "record" => match Recording::parse(call.text("action")) {
            Some(what) => control.record(of, near, what).await,
            None => Err(Refusal::State("there is no such action")),
        },
        "takeover" => control.take_over(of, near, &phone(call, "phone").await?).await,
        "monitor" => match Mode::parse(call.text("mode")) {
            Some(mode) => control.monitor(of, near, &phone(call, "phone").await?, mode).await,
            None => control.stop_monitor(of, &phone(call, "phone").await?).await,
        },
        _ => Err(Refusal::State("there is no such command")),
    };
    made.map_err(problem)?;
    Ok(done(control, of, word, "over"))
}

fn done(control: &Control, of: Which<'_>, word: &str, otherwise: &str) -> Record {
    let table = control.board.table();
    let live = table.call(of.0, of.1);
    let state = live.as_ref().map_or(otherwise, |live| live.state.as_str());
    let slot = live.as_ref().and_then(|live| live.legs.iter().find_map(|leg| leg.slot()));
    Record::from_iter([
        ("call_id".to_owned(), json!(of.1.as_str())),
        ("command".to_owned(), json!(word)),
        ("state".to_owned(), json!(state)),
        ("slot".to_owned(), json!(slot)),
    ])
}
