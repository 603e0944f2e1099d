//! Recorded events, events of nobody's, and damaged ones.

use super::*;
use proptest::prelude::*;

/// Recorded from Asterisk 22.10: each type that it was seen to send, in each form.
const RECORDED: &str = include_str!("../../../tests/fixtures/ari/events.jsonl");

fn recorded() -> impl Iterator<Item = (&'static str, Told)> {
    RECORDED.lines().map(|line| (line, parse(line).unwrap()))
}

#[test]
fn every_recorded_event_is_read_whole() {
    let mut kinds: Vec<String> = Vec::new();
    for (line, told) in recorded() {
        let raw: Value = serde_json::from_str(line).unwrap();
        assert_eq!(told.event.kind(), raw["type"], "{line}");
        assert!(KINDS.contains(&told.event.kind()), "{line}");
        assert_eq!(told.application, raw["application"], "{line}");
        assert!(told.at_us > 1_795_000_000_000_000, "{line}");
        kinds.push(told.event.kind().to_owned());
    }
    kinds.sort();
    kinds.dedup();
    assert_eq!((kinds.len(), KINDS.len()), (27, 45));
}

#[test]
fn a_start_has_its_channel_to_the_last_field() {
    let start = recorded().find_map(|(_, told)| match told.event {
        Event::StasisStart { args, channel, replace_channel } => Some((args, channel, replace_channel)),
        _ => None,
    });
    let (args, channel, replaced) = start.unwrap();
    assert_eq!((args.as_slice(), replaced), (["arg one".to_owned(), "two".to_owned()].as_slice(), None));
    let party = |name: &str, number: &str| Party { name: name.into(), number: number.into() };
    let expected = Channel {
        id: "labpbx-1795345750.0".into(),
        name: "PJSIP/trunk-00000000".into(),
        state: "Ring".into(),
        protocol_id: "1-29920@127.0.0.1".into(),
        caller: party("Alice \\\"Q\\\" O'Neil", "5551000"),
        connected: party("", ""),
        accountcode: String::new(),
        dialplan: Dialplan {
            context: "from-trunk".into(),
            exten: "stasis".into(),
            priority: 1,
            app_name: "Stasis".into(),
            app_data: "lab,arg one,two".into(),
        },
        creationtime: 1_795_345_750_142_000,
        language: "en".into(),
        ..Channel::default()
    };
    assert_eq!(channel, expected);
}

#[test]
fn answers_dials_and_transfers_are_read() {
    let answered = recorded().find_map(|(_, told)| match told.event {
        Event::RESTResponse { answer } => Some(answer),
        _ => None,
    });
    let answered = answered.unwrap();
    assert_eq!((answered.status_code, answered.request_id.as_str()), (200, "r1"));
    assert!(answered.message_body.contains("pong"), "{answered:?}");
    let statuses: Vec<String> = recorded()
        .filter_map(|(_, told)| match told.event {
            Event::Dial { dialstatus, .. } => Some(dialstatus),
            _ => None,
        })
        .collect();
    assert!(statuses.iter().any(|s| s == "RINGING") && statuses.iter().any(String::is_empty), "{statuses:?}");
    let transfer = r#"{"type":"BridgeBlindTransfer","channel":{"id":"a"},"transferee":{"id":"b"},"exten":"102",
        "context":"x","is_external":true,"result":"Success","bridge":{"id":"c","channels":["a","b"]}}"#;
    let Event::BridgeBlindTransfer { transfer } = parse(transfer).unwrap().event else { panic!("another") };
    assert_eq!((transfer.exten.as_str(), transfer.bridge.unwrap().channels.len()), ("102", 2));
    let transfer = r#"{"type":"BridgeAttendedTransfer","transferer_first_leg":{"id":"a"},
        "transferer_second_leg":{"id":"b"},"transferee":{"id":"c"},"destination_type":"bridge"}"#;
    let Event::BridgeAttendedTransfer { transfer } = parse(transfer).unwrap().event else {
        panic!("another")
    };
    assert_eq!(transfer.transferee.unwrap().id, "c");
}

#[test]
fn what_is_missing_is_empty_what_is_new_is_passed_over_and_what_it_is_about_must_be_there() {
    let told =
        parse(r#"{"type":"ChannelHold","channel":{"id":"a","new":[1],"language":null},"musicclass":null}"#);
    let told = told.unwrap();
    let channel = Channel { id: "a".into(), ..Channel::default() };
    assert_eq!(told.event, Event::ChannelHold { musicclass: String::new(), channel });
    assert_eq!((told.at_us, told.application.as_str()), (0, ""));
    let vars = r#"{"type":"ChannelUnhold","channel":{"id":"a","channelvars":{"CHANNEL(linkedid)":"b"}}}"#;
    let Event::ChannelUnhold { channel } = parse(vars).unwrap().event else { panic!("another") };
    assert_eq!(channel.channelvars["CHANNEL(linkedid)"], "b");
    let unknown = parse(r#"{"type":"ChannelTeleported","x":1}"#).unwrap().event;
    let body = serde_json::json!({"type": "ChannelTeleported", "x": 1});
    assert_eq!(unknown, Event::Unknown { kind: "ChannelTeleported".into(), body });
    for about in [r#"{"type":"ChannelHold"}"#, r#"{"type":"ChannelHold","channel":{"name":"x"}}"#] {
        assert!(matches!(parse(about), Err(ParseError::Fields { .. })), "{about}");
    }
    for shape in ["", "[]", "{}", "nonsense", r#"{"type":7}"#] {
        assert!(matches!(parse(shape), Err(ParseError::Shape(_))), "{shape}");
    }
}

#[test]
fn times_are_those_of_any_zone() {
    let at = |text: &str| {
        parse(&format!(r#"{{"type":"ApplicationReplaced","timestamp":"{text}"}}"#)).unwrap().at_us
    };
    assert_eq!(at("2026-11-22T11:09:10.142+0000"), 1_795_345_750_142_000);
    assert_eq!(at("2026-11-22T12:09:10.142+0100"), 1_795_345_750_142_000);
    assert_eq!((at("yesterday"), at("")), (0, 0));
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in ".{0,200}") {
        fuzz(&text);
    }

    /// A recorded event, with bytes of it replaced, taken out and doubled.
    #[test]
    fn nor_do_damaged_events(line in 0_usize..42, at in any::<prop::sample::Index>(), length in 0_usize..20, new in ".{0,8}") {
        let line = RECORDED.lines().nth(line).unwrap();
        let mut chars: Vec<char> = line.chars().collect();
        let start = at.index(chars.len());
        let end = (start + length).min(chars.len());
        chars.splice(start..end, new.chars());
        fuzz(&chars.into_iter().collect::<String>());
    }
}
