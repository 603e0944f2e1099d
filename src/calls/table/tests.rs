//! The fold, on events as Asterisk writes them.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ari::event;

const CALL: &str = "01arz3ndektsv4rrffq69g5fav";

/// A channel as Asterisk shows it.
fn channel(id: &str, name: &str, state: &str, linkedid: &str, call: &str) -> Value {
    json!({
        "id": id, "name": name, "state": state, "protocol_id": "", "accountcode": "",
        "caller": {"name": "Alice", "number": "+15557770001"}, "connected": {"name": "", "number": "101"},
        "dialplan": {"context": "hookswitch-call", "exten": "+15550001000", "priority": 1, "app_name": "Queue",
            "app_data": "acme-support,c"},
        "creationtime": "2026-11-22T11:09:10.142+0000", "language": "en",
        "channelvars": {"CHANNEL(linkedid)": linkedid, "HS_CALL_ID": call, "HS_TENANT": if call.is_empty() { "" } else { "acme" },
            "HS_LIVE": ""}
    })
}

fn caller(state: &str) -> Value {
    channel("a", "PJSIP/carrier-00000001", state, "a", CALL)
}

fn phone(state: &str) -> Value {
    channel("b", "PJSIP/acme-101-00000002", state, "a", "")
}

fn at(second: i64) -> String {
    format!("2026-11-22T11:10:{second:02}.000+0000")
}

fn told(second: i64, kind: &str, more: Value) -> Told {
    let mut event =
        json!({"type": kind, "application": "hookswitch", "asterisk_id": "x", "timestamp": at(second)});
    for (name, value) in more.as_object().unwrap() {
        event[name] = value.clone();
    }
    event::parse(&event.to_string()).unwrap()
}

fn bridge(channels: &[&str]) -> Value {
    json!({"id": "br", "technology": "simple_bridge", "bridge_type": "mixing", "bridge_class": "basic", "creator": "",
        "name": "", "channels": channels, "creationtime": at(0), "video_mode": "none"})
}

/// A call through a queue, from its first word to its last.
fn call() -> Vec<Told> {
    vec![
        told(
            0,
            "ChannelCreated",
            json!({"channel": channel("a", "PJSIP/carrier-00000001", "Ring", "a", "")}),
        ),
        told(1, "ChannelStateChange", json!({"channel": caller("Up")})),
        told(2, "ChannelCreated", json!({"channel": phone("Down")})),
        told(
            2,
            "Dial",
            json!({"caller": caller("Up"), "peer": phone("Down"), "dialstatus": "", "dialstring": "x", "forward": ""}),
        ),
        told(3, "ChannelStateChange", json!({"channel": phone("Ringing")})),
        told(3, "Dial", json!({"caller": caller("Up"), "peer": phone("Ringing"), "dialstatus": "RINGING"})),
        told(4, "ChannelStateChange", json!({"channel": phone("Up")})),
        told(4, "ChannelEnteredBridge", json!({"bridge": bridge(&["b"]), "channel": phone("Up")})),
        told(4, "ChannelEnteredBridge", json!({"bridge": bridge(&["a", "b"]), "channel": caller("Up")})),
        told(5, "ChannelHold", json!({"channel": phone("Up"), "musicclass": "default"})),
        told(6, "ChannelUnhold", json!({"channel": phone("Up")})),
        told(7, "ChannelLeftBridge", json!({"bridge": bridge(&["a"]), "channel": phone("Up")})),
        told(7, "ChannelLeftBridge", json!({"bridge": bridge(&[]), "channel": caller("Up")})),
        told(7, "BridgeDestroyed", json!({"bridge": bridge(&[])})),
        told(
            7,
            "ChannelDestroyed",
            json!({"cause": 16, "cause_txt": "Normal Clearing", "channel": phone("Up")}),
        ),
        told(
            8,
            "ChannelDestroyed",
            json!({"cause": 16, "cause_txt": "Normal Clearing", "channel": caller("Up")}),
        ),
    ]
}

fn word(change: &Change) -> &'static str {
    match change {
        Change::Ringing(_) => "ringing",
        Change::Answered(_) => "answered",
        Change::Talks(_) => "talks",
        Change::Idle(_) => "idle",
        Change::Held(_) => "held",
        Change::Unheld(_) => "unheld",
        Change::Transferred { .. } => "transferred",
        Change::Bereft(_) => "bereft",
        Change::Over(_) => "over",
    }
}

fn snapshot(second: i64, channels: &[Value], bridges: &[Value]) -> Snapshot {
    let read = |value: &Value| serde_json::from_value(value.clone()).unwrap();
    Snapshot {
        channels: channels.iter().map(read).collect(),
        bridges: bridges.iter().map(|value| serde_json::from_value(value.clone()).unwrap()).collect(),
        channel_ids: HashSet::new(),
        at_us: told(second, "ApplicationReplaced", json!({})).at_us,
    }
}

fn tenant() -> TenantId {
    TenantId::parse("acme").unwrap()
}

#[test]
fn a_call_from_its_first_word_to_its_last() {
    let mut table = Table::default();
    let mut seen = Vec::new();
    let mut states = Vec::new();
    for told in call() {
        seen.extend(table.take("pbx", &told));
        if let [call] = table.of_tenant(&tenant()).as_slice() {
            states.push(call.state.as_str());
        }
    }
    let words: Vec<&str> = seen.iter().map(word).collect();
    assert_eq!(words, ["ringing", "talks", "answered", "held", "unheld", "idle", "over"]);
    states.dedup();
    assert_eq!(states, ["waiting", "ringing", "talking", "held", "talking", "waiting"]);
    let Some(Change::Answered(fact)) = seen.get(2) else { panic!("{seen:?}") };
    assert_eq!(fact.call.as_ref().map(Id::as_str), Some(CALL));
    assert_eq!(fact.endpoint.as_ref().map(|(_, name)| name.as_str()), Some("101"));
    assert_eq!((fact.other.0.as_str(), fact.queue.as_str()), ("+15557770001", "acme-support"));
    let Some(Change::Over(over)) = seen.last() else { panic!("{seen:?}") };
    assert_eq!((over.cause, over.at_us - over.answered_us.unwrap()), (Some(16), 7_000_000));
    assert_eq!(over.peer, "PJSIP/acme-101-00000002");
    assert!(table.is_empty() && table.groups.is_empty() && table.bridges.is_empty());
    assert!(table.calls.is_empty() && table.phones.is_empty());
}

#[test]
fn what_ended_unseen_is_over_and_what_is_late_makes_no_ghost() {
    let mut table = Table::default();
    let all = call();
    for told in &all[..9] {
        table.take("pbx", told);
    }
    // The phone is there, the caller is not any more.
    table.lost("pbx");
    let changes = table.whole("pbx", &snapshot(30, &[phone("Up")], &[]));
    let words: Vec<&str> = changes.iter().map(word).collect();
    assert_eq!(words, ["over"]);
    let Change::Over(over) = &changes[0] else { panic!() };
    assert_eq!((over.cause, over.answered_us.is_some()), (None, true));
    assert!(!table.whole("pbx", &snapshot(31, &[], &[])).is_empty());
    // Words that were kept back come now: nobody rises from them.
    for told in &all {
        assert_eq!(table.take("pbx", told), []);
    }
    assert!(table.is_empty() && table.groups.is_empty());
}

#[test]
fn one_call_through_two_connections_is_one() {
    let mut table = Table::default();
    let mut seen = Vec::new();
    for told in &call()[..9] {
        seen.extend(table.take("one", told));
        seen.extend(table.take("two", told));
    }
    let words: Vec<&str> = seen.iter().map(word).collect();
    assert_eq!(words, ["ringing", "talks", "answered"]);
    assert_eq!((table.len(), table.of_tenant(&tenant()).len()), (2, 1));
    // One of them does not see it any more: it is there as long as the other does.
    assert_eq!(table.whole("one", &snapshot(30, &[], &[])), []);
    assert_eq!(table.len(), 2);
    assert_eq!(table.whole("two", &snapshot(31, &[], &[])).len(), 2);
    assert!(table.is_empty());
}

#[test]
fn a_snapshot_alone_tells_who_talks() {
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &[caller("Up"), phone("Up")], &[bridge(&["a", "b"])]));
    let calls = table.of_tenant(&tenant());
    assert_eq!((calls.len(), calls[0].state, calls[0].legs.len()), (1, State::Talking, 2));
    assert!(table.call(&TenantId::parse("globex").unwrap(), &Id::parse(CALL).unwrap()).is_none());
    assert!(table.call(&tenant(), &Id::parse(CALL).unwrap()).is_some());
}

/// Every leg is in one group, and in the bridge it says; nothing is empty.
fn is_sound(table: &Table) {
    for (id, leg) in &table.legs {
        assert!(table.groups[&leg.linkedid].legs.contains(id), "{id} is in no group");
        if let Some(bridge) = &leg.bridge {
            assert!(table.bridges[bridge].contains(id), "{id} is not in its bridge");
        }
    }
    let in_groups: usize = table.groups.values().map(|group| group.legs.len()).sum();
    assert_eq!(in_groups, table.legs.len());
    assert!(table.bridges.values().all(|legs| !legs.is_empty()));
    assert!(table.calls.values().all(|leg| table.legs.contains_key(leg)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// In whatever order, however often, with whatever lost: the table stays sound, and a look at the whole makes it right.
    #[test]
    fn any_order_any_loss(order in prop::collection::vec(0_usize..16, 0..60), late in any::<bool>()) {
        let all = call();
        let mut table = Table::default();
        for n in order {
            table.take(if late { "one" } else { "pbx" }, &all[n]);
            is_sound(&table);
        }
        table.whole("pbx", &snapshot(40, &[caller("Up"), phone("Up")], &[bridge(&["a", "b"])]));
        is_sound(&table);
        prop_assert_eq!(table.of_tenant(&tenant()).first().map(|call| call.state.as_str()).is_some(), true);
        table.whole("one", &snapshot(41, &[], &[]));
        table.whole("pbx", &snapshot(42, &[], &[]));
        prop_assert!(table.is_empty() && table.groups.is_empty() && table.bridges.is_empty());
        prop_assert!(table.calls.is_empty() && table.phones.is_empty());
    }
}

/// The diagram in the documents is that of the code, and every step of it is one that calls take.
#[test]
fn the_diagram_is_that_of_the_code() {
    let shown = include_str!("states.md");
    let wanted = format!("```mermaid\n{}```\n", State::diagram());
    assert_eq!(shown, wanted, "src/calls/table/states.md is to be:\n{wanted}");
    let mut seen = BTreeSet::new();
    for script in scripts() {
        let mut table = Table::default();
        let mut last = None;
        for step in script {
            match step {
                Step::Told(told) => drop(table.take("pbx", &told)),
                Step::Place(id, place) => table.place(id, place),
            }
            let now = table.of_tenant(&tenant()).first().map(|call| call.state);
            if let (Some(from), Some(to)) = (last, now)
                && from != to
            {
                seen.insert((from, to));
            }
            last = now.or(last);
        }
    }
    let all: BTreeSet<(State, State)> = State::STEPS.iter().copied().collect();
    assert_eq!(seen, all);
}

enum Step {
    Told(Box<Told>),
    Place(&'static str, Place),
}

/// A channel whose dialplan runs another application.
fn runs(mut channel: Value, application: &str) -> Value {
    channel["dialplan"]["app_name"] = application.into();
    channel
}

/// Calls that take every step: by a queue in which nobody answers at first, by a phone, in our hands.
fn scripts() -> Vec<Vec<Step>> {
    let state = |second, channel| {
        Step::Told(Box::new(told(second, "ChannelStateChange", json!({ "channel": channel }))))
    };
    let created = |channel| Step::Told(Box::new(told(0, "ChannelCreated", json!({ "channel": channel }))));
    let gone = |second, channel| {
        Step::Told(Box::new(told(
            second,
            "ChannelDestroyed",
            json!({"cause": 16, "cause_txt": "", "channel": channel}),
        )))
    };
    let dials = |second, to: Value| {
        Step::Told(Box::new(told(
            second,
            "Dial",
            json!({"caller": runs(caller("Up"), "Dial"), "peer": to, "dialstatus": ""}),
        )))
    };
    let joins = |second, channels: &[&str], who: Value| {
        Step::Told(Box::new(told(
            second,
            "ChannelEnteredBridge",
            json!({"bridge": bridge(channels), "channel": who}),
        )))
    };
    let leaves = |second, channels: &[&str], who: Value| {
        Step::Told(Box::new(told(
            second,
            "ChannelLeftBridge",
            json!({"bridge": bridge(channels), "channel": who}),
        )))
    };
    let dial = || runs(caller("Up"), "Dial");
    let phone = |state: &str| runs(phone(state), "AppDial");
    let third = || runs(channel("c", "PJSIP/acme-102-00000003", "Up", "a", ""), "AppDial");
    let queue = vec![
        created(runs(caller("Ring"), "AGI")),
        state(1, caller("Up")),
        created(phone("Down")),
        state(2, phone("Ringing")),
        gone(3, phone("Ringing")),
    ];
    let unanswered = vec![
        created(runs(caller("Ring"), "AGI")),
        created(phone("Down")),
        state(2, phone("Ringing")),
        gone(3, phone("Ringing")),
    ];
    let slot = Slot { number: 701, until_s: 0, by: String::new() };
    let ours = vec![
        created(runs(caller("Ring"), "AGI")),
        created(phone("Down")),
        dials(1, phone("Down")),
        state(2, phone("Ringing")),
        state(3, phone("Up")),
        joins(3, &["b"], phone("Up")),
        joins(3, &["a", "b"], dial()),
        Step::Place("a", Place::Held),
        Step::Place("a", Place::Talk),
        Step::Place("a", Place::Parked(slot)),
        Step::Place("a", Place::Talk),
        created(third()),
        joins(5, &["a", "b", "c"], third()),
        leaves(6, &["a", "b"], third()),
        leaves(7, &["a"], phone("Up")),
    ];
    vec![queue, unanswered, ours]
}
