//! What a caller writes into SIP never becomes a line of the AGI environment.

use crate::support::asterisk::{Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::fastagi::FakeAgi;

/// A user part that ends its line and adds one: `%0A` becomes a line feed in Asterisk.
const FORGING: &str = "555%0Aagi_injected%3A%20yes%0A%0AHACK";

/// The keys of a FastAGI environment without arguments, in Asterisk's order.
const KEYS: [&str; 22] = [
    "agi_network",
    "agi_network_script",
    "agi_request",
    "agi_channel",
    "agi_language",
    "agi_type",
    "agi_uniqueid",
    "agi_version",
    "agi_callerid",
    "agi_calleridname",
    "agi_callingpres",
    "agi_callingani2",
    "agi_callington",
    "agi_callingtns",
    "agi_dnid",
    "agi_rdnis",
    "agi_context",
    "agi_extension",
    "agi_priority",
    "agi_enhanced",
    "agi_accountcode",
    "agi_threadid",
];

fn service() -> FakeAgi {
    FakeAgi::deciding(&[("HS_TARGET", "21"), ("HS_ACTION", "hangup")])
}

#[test]
fn the_guard_filters_the_caller_and_the_number() {
    let service = service();
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let name = "Ann %0Aagi_injected: yes, (é) \\\"$(1+1)${EPOCH}";
    let call = Call::to(&format!("+1{FORGING}")).from(FORGING).name(name).diverted_by(FORGING);
    call.expect_refused(&pbx, 403);

    let asked = service.wait_asked("route");
    let keys: Vec<&str> = asked.environment.iter().map(|line| line.split(": ").next().unwrap()).collect();
    assert_eq!(keys, KEYS, "{:?}", asked.environment);
    assert!(asked.request().starts_with("route?did=+1555&linkedid="), "{}", asked.request());
    assert_eq!(asked.value("agi_extension"), "+1555");
    assert_eq!(asked.value("agi_dnid"), "+1555");
    assert_eq!(asked.value("agi_callerid"), "555agi_injectedyesHACK");
    assert_eq!(asked.value("agi_rdnis"), "555agi_injectedyesHACK");
    assert_eq!(asked.value("agi_calleridname"), "Ann 0Aagi_injected yes (é) (1+1)EPOCH");

    pbx.wait_idle();
    let ended = service.wait_asked("ended");
    assert_eq!(ended.fact("caller"), "555agi_injectedyesHACK");
    assert_eq!(ended.fact("did"), "+1555");
}

#[test]
fn without_the_guard_the_forged_line_arrives() {
    // Proves that the test above tests something: the same call, straight into AGI().
    let service = service();
    let unguarded = format!(
        "
[hookswitch-inbound]
exten => _9!,1,AGI(agi://{}/raw)
 same => n,Hangup(21)
",
        service.address()
    );
    let pbx = Pbx::start(&PbxOptions::new(service.address()).dialplan(&unguarded));
    Call::to("95550100").from(FORGING).expect_refused(&pbx, 403);
    let asked = service.wait_asked("raw");
    assert_eq!(asked.value("agi_injected"), "yes");
    assert_eq!(asked.environment.last().unwrap(), "agi_injected: yes");
}

#[test]
fn a_letter_first_never_gets_in() {
    let service = service();
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    for special in ["h", "s", "i", "T", "T%0A", "do-queue", "lost"] {
        Call::to(special).expect_refused(&pbx, 404);
    }
    assert!(service.asked("route").is_empty());
}

#[test]
fn long_numbers_and_names_are_cut() {
    let service = service();
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let (number, name) = ("9".repeat(70), "n".repeat(79));
    Call::to(&number).from(&number).name(&name).expect_refused(&pbx, 403);
    let asked = service.wait_asked("route");
    assert!(asked.request().starts_with(&format!("route?did={}&linkedid=", "9".repeat(32))));
    assert_eq!(asked.value("agi_callerid"), "9".repeat(64));
}

#[test]
fn a_phone_cannot_be_impersonated_from_the_trunk() {
    let service = service();
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let call = Call::to("101").from("acme-101").run(&pbx);
    assert!(call.refused == Some(401), "{call:?}");
    assert!(service.asked("internal").is_empty());
}
