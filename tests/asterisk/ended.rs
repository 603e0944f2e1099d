//! The end of each call is reported once, with true values, and survives the service's absence.

use crate::support::asterisk::{Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::fastagi::{Asked, FakeAgi};
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;

/// The report of the only call, once no call is left.
fn only_report(pbx: &Pbx, service: &FakeAgi) -> Asked {
    pbx.wait_idle();
    let reports = service.asked("ended");
    assert_eq!(reports.len(), 1, "{reports:?}");
    reports[0].clone()
}

fn seconds(report: &Asked, name: &str) -> f64 {
    report.fact(name).parse().unwrap_or_else(|_| panic!("{name}={}", report.fact(name)))
}

#[test]
fn an_endpoint_call_that_the_phone_ends() {
    let service = FakeAgi::deciding(&[
        ("HS_CALL_ID", "call1"),
        ("HS_TARGET", "acme-101"),
        ("HS_TIMEOUT", "20"),
        ("HS_ACTION", "endpoint"),
    ]);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let talks = Behaviour::Answers { after_ms: 1_000, hangs_up_after_ms: Some(2_000) };
    let phone = Phone::start(&pbx, "acme-101", talks);
    let call = Call::to("+15550001001").from("+15557770001").stay(20_000).expect_answered(&pbx);
    assert!(call.hung_up_by_pbx);
    assert_eq!(phone.answered(), 1);

    let report = only_report(&pbx, &service);
    assert_eq!(report.request(), "ended?call=call1&late=0");
    assert_eq!(report.fact("cause"), "16");
    assert_eq!(report.fact("did"), "+15550001001");
    assert_eq!(report.fact("caller"), "+15557770001");
    assert_eq!(report.fact("dialstatus"), "ANSWER");
    assert_eq!(report.fact("disposition"), "ANSWERED");
    assert!(report.fact("peer").starts_with("PJSIP/acme-101-"));
    assert!(report.fact("source").starts_with("PJSIP/acme-101-"));
    assert_eq!(report.fact("fallback"), "");
    assert_eq!(report.fact("uniqueid"), report.value("agi_uniqueid"));
    assert_eq!(report.fact("linkedid"), report.value("agi_uniqueid"));
    let (start, answer, at) = (seconds(&report, "start"), seconds(&report, "answer"), seconds(&report, "at"));
    assert!(start + 0.9 < answer && answer < at, "{start} {answer} {at}");
    assert!(answer + 1.9 < at && at < answer + 15.0, "{answer} {at}");
    assert_eq!(pbx.kept_reports(), Vec::<String>::new());
}

#[test]
fn a_queue_call_that_the_caller_ends() {
    let service = FakeAgi::deciding(&[
        ("HS_CALL_ID", "call2"),
        ("HS_TARGET", "acme-support"),
        ("HS_TIMEOUT", "20"),
        ("HS_ACTION", "queue"),
    ]);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let answers = Behaviour::Answers { after_ms: 200, hangs_up_after_ms: None };
    let _member = Phone::start(&pbx, "acme-102", answers);
    Call::to("+15550001000").stay(3_000).expect_answered(&pbx);

    let report = only_report(&pbx, &service);
    assert_eq!(report.fact("cause"), "16");
    assert_eq!(report.fact("queuestatus"), "");
    assert!(report.fact("peer").starts_with("PJSIP/acme-102-"));
    assert!(report.fact("source").starts_with("PJSIP/carrier-"));
}

#[test]
fn the_peer_is_the_member_who_answered() {
    let service = FakeAgi::deciding(&[
        ("HS_CALL_ID", "call6"),
        ("HS_TARGET", "acme-support"),
        ("HS_TIMEOUT", "20"),
        ("HS_ACTION", "queue"),
    ]);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let refuses = Phone::start(&pbx, "acme-102", Behaviour::Rejects(486));
    let answers = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };
    let answers = Phone::start(&pbx, "acme-101", answers);
    // Asked only when the first member refused.
    pbx.cli("queue add member PJSIP/acme-101 to acme-support penalty 1");
    let call = Call::to("+15550001000").stay(20_000).start(&pbx);
    answers.wait_answered(0);
    pbx.hang_up_all();
    call.finish();
    assert!(refuses.rang() >= 1);
    let report = only_report(&pbx, &service);
    assert!(report.fact("peer").starts_with("PJSIP/acme-101-"), "{report:?}");
    assert_eq!(report.fact("disposition"), "ANSWERED");
}

#[test]
fn a_caller_who_gives_up_in_the_queue() {
    let service = FakeAgi::deciding(&[
        ("HS_CALL_ID", "call3"),
        ("HS_TARGET", "acme-support"),
        ("HS_TIMEOUT", "20"),
        ("HS_ACTION", "queue"),
    ]);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let _member = Phone::start(&pbx, "acme-102", Behaviour::NeverAnswers);
    Call::to("+15550001000").stay(1_500).expect_answered(&pbx);
    let report = only_report(&pbx, &service);
    // Answered for the waiting music, but by nobody.
    assert_eq!(report.fact("disposition"), "NO ANSWER");
    assert_eq!(report.fact("queuestatus"), "");
    assert!(seconds(&report, "answer") > 0.0);
}

#[test]
fn a_caller_who_cancels() {
    let service = FakeAgi::deciding(&[
        ("HS_CALL_ID", "call4"),
        ("HS_TARGET", "acme-101"),
        ("HS_TIMEOUT", "20"),
        ("HS_ACTION", "endpoint"),
    ]);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let phone = Phone::start(&pbx, "acme-101", Behaviour::NeverAnswers);
    let call = Call::to("+15550001001").patience(1_500).run(&pbx);
    assert_eq!((call.refused, phone.rang()), (Some(487), 1));
    let report = only_report(&pbx, &service);
    assert_eq!(report.fact("dialstatus"), "CANCEL");
    assert_eq!(report.fact("disposition"), "NO ANSWER");
    assert!(seconds(&report, "answer") < 1.0);
    assert!(report.fact("source").starts_with("PJSIP/carrier-"));
}

#[test]
fn a_refused_call() {
    let service = FakeAgi::deciding(&[("HS_CALL_ID", "call5"), ("HS_TARGET", "21"), ("HS_ACTION", "hangup")]);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    Call::to("+15550001009").expect_refused(&pbx, 403);
    let report = only_report(&pbx, &service);
    assert_eq!(report.fact("cause"), "21");
    assert_eq!(report.fact("peer"), "");
    assert!(seconds(&report, "answer") < 1.0);
}

#[test]
fn a_call_that_enters_twice_is_reported_once() {
    let service = FakeAgi::start(|dialogue| match dialogue.script().as_str() {
        "ended" => dialogue.confirm_end(),
        _ if dialogue.environment.iter().any(|line| line == "agi_extension: +15550001000") => {
            dialogue.command("SET CONTEXT hookswitch-inbound");
            dialogue.command("SET EXTENSION +15550001009");
            dialogue.command("SET PRIORITY 1");
        }
        _ => dialogue.decide(&[("HS_TARGET", "17"), ("HS_ACTION", "hangup")]),
    });
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    Call::to("+15550001000").expect_refused(&pbx, 486);
    assert_eq!(service.asked("route").len(), 2);
    assert_eq!(only_report(&pbx, &service).fact("did"), "+15550001009");
}
