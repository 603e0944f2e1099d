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
