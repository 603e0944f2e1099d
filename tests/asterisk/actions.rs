//! Every action of a decision ends where it should.

use crate::support::asterisk::{Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::fastagi::FakeAgi;
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 200, hangs_up_after_ms: None };

fn pbx(service: &FakeAgi) -> Pbx {
    Pbx::start(&PbxOptions::new(service.address()))
}

#[test]
fn the_configuration_is_clean() {
    let service = FakeAgi::deciding(&[]);
    let pbx = pbx(&service);
    assert!(pbx.cli("dialplan reload").contains("reloaded"));
    assert_eq!(pbx.complaints(), Vec::<String>::new());
    for special in ["h", "i", "s", "t", "T", "a", "o"] {
        for context in ["hookswitch-inbound", "hookswitch-internal"] {
            let shown = pbx.cli(&format!("dialplan show {special}@{context}"));
            assert!(shown.contains("no existence of"), "{special}@{context}: {shown}");
        }
    }
    assert!(pbx.cli("dialplan show 15550001000@hookswitch-inbound").contains("HS_DID"));
}

#[test]
fn a_queue_call_reaches_the_member() {
    let service = FakeAgi::deciding(&[
        ("HS_CALL_ID", "call1"),
        ("HS_TENANT", "acme"),
        ("HS_TARGET", "acme-support"),
        ("HS_TIMEOUT", "20"),
        ("HS_RECORD", "1"),
        ("HS_ACTION", "queue"),
    ]);
    let pbx = pbx(&service);
    let member = Phone::start(&pbx, "acme-102", ANSWERS);
    let call = Call::to("+15550001000").stay(2_000).expect_answered(&pbx);
    assert!(!call.hung_up_by_pbx);
    assert_eq!((member.rang(), member.answered()), (1, 1));
    let cdr = pbx.cdrs().remove(0);
    assert_eq!((cdr.dst.as_str(), cdr.account.as_str()), ("+15550001000", "acme"));
    assert_eq!(cdr.disposition, "ANSWERED");
    assert!(cdr.dst_channel.starts_with("PJSIP/acme-102-"), "{cdr:?}");
    let recorded = std::fs::metadata(pbx.path("spool/monitor/call1.wav")).unwrap().len();
    assert!(recorded > 16_000, "only {recorded} bytes recorded");
}

#[test]
fn an_unanswered_endpoint_leads_to_next_and_to_voicemail() {
    let service = FakeAgi::start(|dialogue| match dialogue.script().as_str() {
        "route" => dialogue.decide(&[
            ("HS_CALL_ID", "call1"),
            ("HS_TENANT", "acme"),
            ("HS_STATE", "step1"),
            ("HS_TARGET", "acme-101"),
            ("HS_TIMEOUT", "1"),
            ("HS_ACTION", "endpoint"),
        ]),
        "next" => {
            dialogue.decide(&[("HS_TARGET", "101@acme"), ("HS_OPTIONS", "s"), ("HS_ACTION", "voicemail")])
        }
        _ => dialogue.confirm_end(),
    });
    let pbx = pbx(&service);
    let phone = Phone::start(&pbx, "acme-101", Behaviour::NeverAnswers);
    Call::to("+15550001001").stay(5_000).expect_answered(&pbx);
    assert_eq!((phone.rang(), phone.answered()), (1, 0));
    let next = service.wait_asked("next");
    assert_eq!(next.request(), "next?call=call1&state=step1");
    assert_eq!((next.value("agi_arg_1"), next.value("agi_arg_2")), ("endpoint".into(), "NOANSWER".into()));
    pbx.wait_idle();
    let message = std::fs::metadata(pbx.path("spool/voicemail/acme/101/INBOX/msg0000.wav")).unwrap();
    assert!(message.len() > 16_000, "{} bytes recorded", message.len());
    let report = service.wait_asked("ended");
    assert_eq!((report.fact("vmstatus"), report.fact("dialstatus")), ("SUCCESS".into(), String::new()));
    // The call's own times, though Asterisk keeps one record for each leg.
    let time = |name: &str| report.fact(name).parse::<f64>().unwrap();
    assert!(time("start") + 0.9 < time("answer") && time("answer") < time("at"), "{report:?}");
    assert_eq!(report.fact("peer"), "");
    assert_eq!(pbx.cdrs().len(), 2);
}

#[test]
fn each_way_to_reach_nobody_is_told_to_next() {
    for (action, target, phone, status) in [
        ("endpoint", "acme-101", Some(("acme-101", 486)), "BUSY"),
        ("endpoint", "acme-101", Some(("acme-101", 503)), "CONGESTION"),
        ("endpoint", "nobody", None, "CHANUNAVAIL"),
        ("external", "+15559990000", Some(("carrier", 404)), "CHANUNAVAIL"),
        ("queue", "acme-support", Some(("acme-102", 486)), "TIMEOUT"),
        ("queue", "nobody", None, "UNKNOWN"),
        ("voicemail", "999@acme", None, "FAILED"),
    ] {
        let service = FakeAgi::start(move |dialogue| match dialogue.script().as_str() {
            "route" => dialogue.decide(&[("HS_TARGET", target), ("HS_TIMEOUT", "2"), ("HS_ACTION", action)]),
            "next" => dialogue.decide(&[("HS_TARGET", "17"), ("HS_ACTION", "hangup")]),
            _ => dialogue.confirm_end(),
        });
        let pbx = pbx(&service);
        let _phone = phone.map(|(name, code)| Phone::start(&pbx, name, Behaviour::Rejects(code)));
        Call::to("+15550001001").stay(20_000).run(&pbx);
        let next = service.wait_asked("next");
        let told = (next.value("agi_arg_1"), next.value("agi_arg_2"));
        assert_eq!(told, (action.to_owned(), status.to_owned()), "{target}");
        assert_eq!(service.asked("next").len(), 1);
    }
}

#[test]
fn an_external_call_leaves_by_the_trunk() {
    let service =
        FakeAgi::deciding(&[("HS_TARGET", "+15559990000"), ("HS_TIMEOUT", "20"), ("HS_ACTION", "external")]);
    let pbx = pbx(&service);
    let carrier = Phone::start(&pbx, "carrier", ANSWERS);
    Call::to("+15550001004").from("+15557770001").expect_answered(&pbx);
    let invites = carrier.invites();
    assert_eq!((invites.len(), carrier.answered()), (1, 1));
    assert!(invites[0].starts_with("invite sip:+15559990000@127.0.0.1"), "{invites:?}");
    assert!(invites[0].contains("<sip:+15557770001@"), "{invites:?}");
}

#[test]
fn a_message_is_played_before_the_action() {
    let service =
        FakeAgi::deciding(&[("HS_TARGET", "16"), ("HS_MESSAGE", "hello-world"), ("HS_ACTION", "hangup")]);
    let pbx = pbx(&service);
    let call = Call::to("+15550001008").stay(20_000).expect_answered(&pbx);
    assert!(call.hung_up_by_pbx);
    assert!(pbx.log().contains("Playing 'hello-world"));
}

#[test]
fn a_playback_ends_the_call() {
    let service = FakeAgi::deciding(&[("HS_TARGET", "hello-world"), ("HS_ACTION", "playback")]);
    let pbx = pbx(&service);
    let call = Call::to("+15550001008").stay(20_000).expect_answered(&pbx);
    assert!(call.hung_up_by_pbx);
    assert!(pbx.log().contains("Playing 'hello-world"));
}

#[test]
fn a_menu_and_a_script_keep_their_connection() {
    // Each dialogue is longer than the first time limit, so each must arm its own.
    let service = FakeAgi::start(|dialogue| match dialogue.script().as_str() {
        "route" => dialogue.decide(&[
            ("HS_CALL_ID", "call1"),
            ("HS_STATE", "step1"),
            ("HS_TARGET", "main"),
            ("HS_ACTION", "ivr"),
        ]),
        "ivr" => {
            dialogue.command("SET VARIABLE TIMEOUT(absolute) 10");
            let digits = dialogue.command("GET DATA silence/5 8000 2");
            assert_eq!(digits, "200 result=42");
            dialogue.decide(&[("HS_TARGET", "order-status"), ("HS_ACTION", "script")]);
        }
        "script" => {
            dialogue.decide(&[("HS_TARGET", "acme-101"), ("HS_TIMEOUT", "9"), ("HS_ACTION", "endpoint")])
        }
        _ => dialogue.confirm_end(),
    });
    let pbx = pbx(&service);
    let phone = Phone::start(&pbx, "acme-101", ANSWERS);
    let call = Call::to("+15550001002").digits("42", 1_700).stay(1_500).expect_answered(&pbx);
    assert!(!call.hung_up_by_pbx, "{call:?}");
    assert_eq!(phone.answered(), 1);
    assert_eq!(service.wait_asked("ivr").request(), "ivr?call=call1&state=step1&menu=main&watch=1");
    assert_eq!(
        service.wait_asked("script").request(),
        "script?call=call1&state=step1&script=order-status&watch=1"
    );
}

#[test]
fn a_phone_dials_another() {
    let service =
        FakeAgi::deciding(&[("HS_TARGET", "acme-101"), ("HS_TIMEOUT", "9"), ("HS_ACTION", "endpoint")]);
    let pbx = pbx(&service);
    let phone = Phone::start(&pbx, "acme-101", ANSWERS);
    let other = Phone::start(&pbx, "globex-101", ANSWERS);
    Call::to("101").by_phone("acme-102").expect_answered(&pbx);
    let asked = service.wait_asked("internal");
    assert!(asked.request().starts_with("internal?from=acme-102&to=101&linkedid="));
    assert_eq!(asked.value("agi_callerid"), "102");
    assert_eq!((phone.answered(), other.rang()), (1, 0));
    pbx.wait_idle();
    assert_eq!(service.asked("ended").len(), 1);
}

/// A phone transfers an outside caller to an extension: the caller's channel dials, with the rights of that phone.
#[test]
fn a_transferred_caller_dials_for_the_phone_that_transferred_him() {
    let service = FakeAgi::deciding(&[("HS_TARGET", "17"), ("HS_ACTION", "hangup")]);
    let dialplan = "
[hookswitch-inbound]
exten => 777,1,Set(BLINDTRANSFER=PJSIP/acme-101-0000000a)
 same => n,Goto(hookswitch-internal,102,1)
exten => 778,1,Goto(hookswitch-internal,102,1)
";
    let pbx = Pbx::start(&PbxOptions::new(service.address()).dialplan(dialplan));
    for (to, from) in [("777", "acme-101"), ("778", "carrier")] {
        Call::to(to).expect_refused(&pbx, 486);
        pbx.wait_idle();
        let asked = service.asked("internal");
        let last = asked.last().unwrap().request();
        assert!(last.starts_with(&format!("internal?from={from}&to=102&")), "{last}");
    }
}

#[test]
fn many_calls_at_once() {
    let service = FakeAgi::deciding(&[("HS_TARGET", "17"), ("HS_ACTION", "hangup")]);
    let pbx = pbx(&service);
    let results = Call::to("+15550001009").times(100, 50).run_all(&pbx);
    assert!(results.iter().all(|result| result.refused == Some(486)), "{results:?}");
    pbx.wait_idle();
    assert_eq!((service.asked("route").len(), service.asked("ended").len()), (100, 100));
}
