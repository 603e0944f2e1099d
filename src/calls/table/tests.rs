//! The fold, on events as Asterisk writes them.

use std::collections::HashSet;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::ari::{Snapshot, event};

mod states;

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
    // Words that were kept back come now: nobody rises from them, and the end has a cause and its own time.
    let late: Vec<Change> = all.iter().flat_map(|told| table.take("pbx", told)).collect();
    let [Change::Over(over)] = late.as_slice() else { panic!("{late:?}") };
    assert_eq!((over.cause, over.at_us), (Some(16), told(8, "ApplicationReplaced", json!({})).at_us));
    assert!(table.is_empty() && table.groups.is_empty());
}

/// As it comes out of the dialplan and the piece of it that a recording is begun by: who was talked to goes meanwhile.
#[test]
fn who_comes_back_to_nobody_is_looked_after() {
    let mut table = Table::default();
    let talks = |mut channel: Value| {
        channel["channelvars"]["HS_LIVE"] = "talk".into();
        channel
    };
    let (a, b) = (talks(caller("Up")), talks(phone("Up")));
    let mut first = snapshot(10, &[a.clone(), b.clone()], &[bridge(&["a", "b"])]);
    first.channel_ids = ["a".to_owned(), "b".to_owned()].into();
    table.whole("pbx", &first);
    table.take("pbx", &told(11, "StasisEnd", json!({"channel": a})));
    table.take("pbx", &told(12, "ChannelDestroyed", json!({"cause": 16, "channel": b})));
    let changes = table.take("pbx", &told(13, "StasisStart", json!({"args": [], "channel": a})));
    assert_eq!(changes, [Change::Bereft("a".into())]);
    let leg = table.leg("a").unwrap();
    assert_eq!((leg.ours, leg.starts), (true, 1));
}

/// What a process finds is no news of the call, for the one before it told it; phones are told all the same.
#[test]
fn what_is_found_at_first_is_no_event() {
    let mut table = Table::default();
    let third = channel("c", "PJSIP/acme-102-00000003", "Ringing", "c", "");
    let found = table
        .whole("pbx", &snapshot(10, &[caller("Up"), phone("Up"), third.clone()], &[bridge(&["a", "b"])]));
    let words: Vec<&str> = found.iter().map(word).collect();
    assert_eq!(words, ["ringing", "talks", "answered"]);
    assert!(found.iter().all(|change| crate::calls::happened::of(change).is_none()), "{found:?}");
    // Nor when the talk that is found held goes on.
    let mut held = caller("Up");
    held["channelvars"]["HS_LIVE"] = "held".into();
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &[held, phone("Up")], &[bridge(&["b"])]));
    let joins =
        told(11, "ChannelEnteredBridge", json!({"bridge": bridge(&["a", "b"]), "channel": caller("Up")}));
    let words: Vec<&str> = table.take("pbx", &joins).iter().map(word).collect();
    assert_eq!(words, ["talks"]);
    // Who only rings then is answered now.
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &[caller("Up"), phone("Ringing")], &[]));
    let seen: Vec<Change> = call()[6..9].iter().flat_map(|told| table.take("pbx", told)).collect();
    assert!(seen.is_empty(), "kept back: {seen:?}");
    let late = [told(11, "ChannelStateChange", json!({"channel": phone("Up")})), joins];
    let words: Vec<&str> =
        late.iter().flat_map(|told| table.take("pbx", told)).map(|one| word(&one)).collect();
    assert_eq!(words, ["talks", "answered"]);
    // A later look tells what came in the gap.
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &[caller("Up")], &[]));
    let changes = table.whole("pbx", &snapshot(20, &[caller("Up"), phone("Up")], &[bridge(&["a", "b"])]));
    assert!(changes.iter().any(|change| crate::calls::happened::of(change).is_some()), "{changes:?}");
}

/// Whether who calls was answered is known of whom nobody saw answered.
#[test]
fn who_was_found_in_a_talk_was_answered() {
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &[caller("Up"), phone("Up")], &[bridge(&["a", "b"])]));
    let changes = table.whole("pbx", &snapshot(20, &[], &[]));
    let Some(Change::Over(over)) = changes.iter().find(|change| word(change) == "over") else { panic!() };
    assert_eq!((over.was_up, over.answered_us, over.peer.is_empty()), (true, None, false));
}

#[test]
fn a_look_ends_talks_that_are_over() {
    let talks = |table: &Table, id: &str| table.leg(id).unwrap().talks_us.is_some();
    let both = [caller("Up"), phone("Up")];
    let third = channel("c", "PJSIP/acme-102-00000003", "Up", "a", "");
    // The bridge is gone.
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &both, &[bridge(&["a", "b"])]));
    table.whole("pbx", &snapshot(20, &both, &[]));
    assert!(!talks(&table, "a") && !talks(&table, "b"));
    is_sound(&table);
    // One of them talks elsewhere.
    let mut other = bridge(&["a", "c"]);
    other["id"] = "other".into();
    let all = [caller("Up"), phone("Up"), third];
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &all, &[bridge(&["a", "b"])]));
    let joins = told(11, "ChannelEnteredBridge", json!({"bridge": other, "channel": caller("Up")}));
    table.take("pbx", &joins);
    assert!(talks(&table, "a") && !talks(&table, "b") && talks(&table, "c"));
    is_sound(&table);
    let mut alone = bridge(&["b"]);
    alone["id"] = "alone".into();
    table.take("pbx", &told(12, "ChannelEnteredBridge", json!({"bridge": alone, "channel": phone("Up")})));
    is_sound(&table);
    assert!(!table.bridges.contains_key("br"));
}

/// A look does not say who holds: what was known before is not, and what comes next is told.
#[test]
fn a_hold_is_told_anew_after_a_look() {
    let mut table = Table::default();
    let both = || snapshot(10, &[caller("Up"), phone("Up")], &[bridge(&["a", "b"])]);
    let hold = |second| told(second, "ChannelHold", json!({"channel": phone("Up")}));
    let unhold = |second| told(second, "ChannelUnhold", json!({"channel": phone("Up")}));
    let words = |changes: Vec<Change>| changes.iter().map(word).collect::<Vec<_>>();
    table.whole("pbx", &both());
    assert_eq!(words(table.take("pbx", &hold(11))), ["held"]);
    assert_eq!(words(table.take("pbx", &hold(12))), [""; 0]);
    // Taken back in the gap.
    table.whole("pbx", &Snapshot { at_us: hold(20).at_us, ..both() });
    assert_eq!(table.of_tenant(&tenant())[0].state, State::Talking);
    assert_eq!(words(table.take("pbx", &hold(21))), ["held"]);
    // Held over the gap, and taken back after it.
    table.whole("pbx", &Snapshot { at_us: hold(30).at_us, ..both() });
    assert_eq!(words(table.take("pbx", &unhold(31))), ["unheld"]);
    assert_eq!(words(table.take("pbx", &unhold(32))), [""; 0]);
}

/// Asterisk's clock steps back an hour behind the first word: nothing of the call is lost.
#[test]
fn a_clock_that_steps_back_blinds_nobody() {
    let mut table = Table::default();
    table.whole("pbx", &snapshot(0, &[], &[]));
    let mut seen = Vec::new();
    for (n, mut told) in call().into_iter().enumerate() {
        told.at_us -= if n > 0 { 3_600_000_000 } else { 0 };
        seen.extend(table.take("pbx", &told));
        if n == 8 {
            assert_eq!(table.of_tenant(&tenant())[0].state, State::Talking);
        }
    }
    let words: Vec<&str> = seen.iter().map(word).collect();
    assert_eq!(words, ["ringing", "talks", "answered", "held", "unheld", "idle", "over"]);
    assert!(table.is_empty());
}

/// What a phone does is told when one of its channels goes, too: who knocked has given up, who talked leaves one who knocks.
#[test]
fn a_phone_does_what_its_other_channels_do() {
    let knock = || channel("k", "PJSIP/acme-101-00000009", "Ringing", "k", "");
    let begun = |channel: Value| told(5, "ChannelCreated", json!({ "channel": channel }));
    let gone = |channel: Value| told(6, "ChannelDestroyed", json!({"cause": 16, "channel": channel}));
    let talking = || {
        let mut table = Table::default();
        table.whole("pbx", &snapshot(4, &[caller("Up"), phone("Up")], &[bridge(&["a", "b"])]));
        assert_eq!(table.take("pbx", &begun(knock())).iter().map(word).collect::<Vec<_>>(), ["ringing"]);
        table
    };
    let mut table = talking();
    let changes = table.take("pbx", &gone(knock()));
    let [Change::Talks(fact)] = changes.as_slice() else { panic!("{changes:?}") };
    assert_eq!(
        (fact.channel.as_str(), fact.call.as_ref().map(Id::as_str)),
        ("PJSIP/acme-101-00000002", Some(CALL))
    );
    let mut table = talking();
    let changes = table.take("pbx", &gone(phone("Up")));
    let [Change::Idle(_), Change::Ringing(fact)] = changes.as_slice() else { panic!("{changes:?}") };
    assert!(fact.stands && crate::calls::happened::of(&changes[1]).is_none());
    let words: Vec<&str> = table.take("pbx", &gone(knock())).iter().map(word).collect();
    assert_eq!(words, ["idle"]);
    // Both go in a gap: nobody is told to talk on the way.
    let changes = talking().whole("pbx", &snapshot(20, &[caller("Up")], &[]));
    assert_eq!(changes.iter().map(word).collect::<Vec<_>>(), ["idle"]);
}

fn of_call(mut told: Told) -> Told {
    told.application = "hookswitch:PJSIP/carrier-00000001".into();
    told
}

/// The connection for a single call does not tell of the end of what it tells of: nothing is left of it.
#[test]
fn a_connection_for_one_call_leaves_nothing() {
    let start = || of_call(told(1, "StasisStart", json!({"args": [], "channel": caller("Up")})));
    let dial =
        || of_call(told(2, "Dial", json!({"caller": caller("Up"), "peer": phone("Down"), "dialstatus": ""})));
    let end = || of_call(told(3, "StasisEnd", json!({"channel": caller("Up")})));
    let mut table = Table::default();
    table.take("pbx", &start());
    table.take("pbx", &dial());
    assert_eq!(table.len(), 1, "who is called is told of by nobody");
    // The channel may live on in the dialplan, which tells of the call's end.
    assert_eq!(table.take("pbx", &end()), []);
    assert!(table.is_empty() && table.calls.is_empty());
    assert_eq!(table.take("pbx", &end()), []);
    // It breaks, and does not come again.
    table.take("pbx", &start());
    assert_eq!(table.left("hookswitch:PJSIP/carrier-00000007", 9), []);
    assert_eq!(table.len(), 1);
    table.left(&start().application, 9);
    assert!(table.is_empty() && table.groups.is_empty());
    // Beside a connection for all, which tells of the end, or has told of it before.
    for (kind, more) in [("StasisStart", json!({"args": []})), ("StasisEnd", json!({}))] {
        table.take("pbx", &start());
        table.take("pbx", &told(2, "ChannelCreated", json!({"channel": caller("Up")})));
        table.take("pbx", &end());
        assert_eq!(table.len(), 1);
        table.take("pbx", &told(4, "ChannelDestroyed", json!({"cause": 16, "channel": caller("Up")})));
        let mut late = more;
        late["channel"] = caller("Up");
        table.take("pbx", &of_call(told(3, kind, late)));
        table.take("pbx", &end());
        assert!(table.is_empty(), "{kind}");
    }
}

/// Two connections to one Asterisk, of which one has the channels: the other's looks and losses are none of theirs.
#[test]
fn what_is_ours_by_one_connection_stays_so() {
    let mut table = Table::default();
    let mut ours = snapshot(10, &[caller("Up")], &[]);
    ours.channel_ids = ["a".to_owned()].into();
    table.whole("one", &ours);
    table.whole("two", &snapshot(11, &[caller("Up")], &[]));
    assert!(table.leg("a").unwrap().ours);
    table.lost("two");
    assert!(table.leg("a").unwrap().ours);
    table.lost("one");
    assert!(!table.leg("a").unwrap().ours);
}

#[test]
fn an_asterisk_that_is_given_up_has_nothing() {
    let mut table = Table::default();
    table.whole("pbx", &snapshot(10, &[caller("Up"), phone("Up")], &[bridge(&["a", "b"])]));
    table.whole("other", &snapshot(10, &[channel("c", "PJSIP/acme-102-00000003", "Up", "c", "")], &[]));
    let words: Vec<&str> = table.gone("pbx", 99).iter().map(word).collect();
    assert!(words.contains(&"over") && words.contains(&"idle"), "{words:?}");
    assert_eq!(table.len(), 1);
}

/// A call is one leg's at a time: the one that ran it says nothing of it any more, though late words do, and a call of its own
/// goes by that one's name when the other has gone.
#[test]
fn a_call_that_was_handed_on_is_the_others() {
    let mut table = Table::default();
    for told in call().into_iter().take(6) {
        table.take("pbx", &told);
    }
    let id = Id::parse(CALL).unwrap();
    table.adopt("b", (&tenant(), &id));
    assert_eq!(
        table.calls().map(|(call, leg)| (call.as_str(), leg.id.as_str())).collect::<Vec<_>>(),
        [(CALL, "b")]
    );
    table.take("pbx", &told(6, "ChannelStateChange", json!({"channel": caller("Up")})));
    assert_eq!(table.leg("a").unwrap().call, None);
    assert_eq!(table.calls().map(|(_, leg)| leg.id.as_str()).collect::<Vec<_>>(), ["b"]);
    // Back, and on again.
    table.adopt("a", (&tenant(), &id));
    assert_eq!((&table.leg("a").unwrap().call, &table.leg("b").unwrap().call), (&Some(id.clone()), &None));
    table.adopt("b", (&tenant(), &id));
    let ended = told(7, "ChannelDestroyed", json!({"channel": caller("Up"), "cause": 16, "cause_txt": ""}));
    assert!(!table.take("pbx", &ended).iter().any(|change| matches!(change, Change::Over(_))));
    assert!(table.call(&tenant(), &id).is_some());
    // Found by a process that comes later.
    let mut first = caller("Up");
    first["channelvars"]["HS_ELSEWHERE"] = json!("1");
    let second = channel("b", "PJSIP/acme-101-00000002", "Up", "a", CALL);
    for all in [[first.clone(), second.clone()], [second, first]] {
        let mut table = Table::default();
        table.whole("pbx", &snapshot(9, &all, &[bridge(&["a", "b"])]));
        assert_eq!(table.calls().map(|(_, leg)| leg.id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
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
    for (bridge, legs) in &table.bridges {
        let able = legs.iter().filter(|id| table.legs[*id].can_talk()).count();
        for id in legs {
            let leg = &table.legs[id];
            assert_eq!(leg.bridge.as_ref(), Some(bridge));
            assert_eq!(leg.talks_us.is_some(), able > 1 && leg.can_talk(), "{id} of {bridge}");
        }
    }
    assert!(table.legs.values().all(|leg| leg.bridge.is_some() || leg.talks_us.is_none()));
    assert!(table.phones.values().flatten().all(|id| table.legs.contains_key(id)));
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
        prop_assert_eq!(table.of_tenant(&tenant()).first().map(|call| call.state), Some(State::Talking));
        table.whole("pbx", &snapshot(40, &[caller("Up"), phone("Up")], &[]));
        is_sound(&table);
        prop_assert!(table.legs().all(|leg| leg.talks_us.is_none() && leg.holds_us.is_none()));
        table.whole("one", &snapshot(41, &[], &[]));
        table.whole("pbx", &snapshot(42, &[], &[]));
        prop_assert!(table.is_empty() && table.groups.is_empty() && table.bridges.is_empty());
        prop_assert!(table.calls.is_empty() && table.phones.is_empty());
    }
}
