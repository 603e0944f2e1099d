//! Whatever the service does, the caller reaches the fallback within three seconds.

use crate::support::asterisk::{Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::fastagi::{self, Dialogue, FakeAgi};
use crate::support::wait;
use std::net::SocketAddr;
use std::time::Duration;

/// The promise to the caller.
const FALLBACK_WITHIN: Duration = Duration::from_secs(3);

/// Calls in, and checks that the shipped fallback (which answers and speaks) took over in time, for
/// this reason; then that the report of the call was kept.
fn reaches_fallback(agi: SocketAddr, reason: &str) -> Pbx {
    let pbx = Pbx::start(&PbxOptions::new(agi));
    let call = Call::to("+15550001000").stay(200).expect_answered(&pbx);
    let after = call.answered_after.unwrap();
    println!("{reason}: fallback after {after:?}");
    assert!(after < FALLBACK_WITHIN, "{reason}: fallback only after {after:?}");
    let warning = format!("Hookswitch did not decide the call to +15550001000: {reason}");
    assert!(pbx.log().contains(&warning), "{}", pbx.log());
    pbx
}

fn kept_report(pbx: &Pbx) -> String {
    pbx.wait_idle();
    wait::until("the report to be kept", || pbx.kept_reports().pop())
}

/// A service that does `answer` to everything but `ended`, which it confirms.
fn service(answer: impl Fn(&mut Dialogue) + Send + Sync + 'static) -> FakeAgi {
    FakeAgi::start(move |dialogue| match dialogue.script().as_str() {
        "ended" => dialogue.confirm_end(),
        _ => answer(dialogue),
    })
}

#[test]
fn refused() {
    let pbx = reaches_fallback(fastagi::nobody(), "service-failure");
    let kept = kept_report(&pbx);
    assert!(kept.contains("call=,cause="), "{kept}");
    assert!(kept.contains(",fallback=service-failure,"), "{kept}");
    assert!(kept.contains(",did=+15550001000,"), "{kept}");
}

#[test]
fn frozen() {
    let stopped = fastagi::frozen();
    let pbx = reaches_fallback(stopped.local_addr().unwrap(), "service-timeout");
    // Not asked again for the report: a dead channel has no time limit.
    assert!(kept_report(&pbx).contains(",fallback=service-timeout,"));
}

#[test]
fn mute() {
    let service = service(Dialogue::stay_mute);
    let pbx = reaches_fallback(service.address(), "service-timeout");
    kept_report(&pbx);
    assert_eq!(service.asked("route").len(), 1);
    assert!(service.asked("ended").is_empty());
}

#[test]
fn slow() {
    // Talks all the time, decides never.
    let service = service(|dialogue| while !dialogue.command("NOOP").is_empty() {});
    let pbx = reaches_fallback(service.address(), "service-timeout");
    kept_report(&pbx);
}

#[test]
fn closes_at_once() {
    let service = service(|_| {});
    let pbx = reaches_fallback(service.address(), "service-unfinished");
    pbx.wait_idle();
    assert_eq!(service.wait_asked("ended").fact("fallback"), "service-unfinished");
    assert_eq!(pbx.kept_reports(), Vec::<String>::new());
}

#[test]
fn closes_in_the_middle() {
    let service = service(|dialogue| {
        dialogue.command("SET VARIABLE HS_TARGET acme-support");
    });
    reaches_fallback(service.address(), "service-unfinished");
}

#[test]
fn talks_nonsense() {
    let service = service(|dialogue| {
        dialogue.raw("HTTP/1.1 400 Bad Request\r\n\r\n");
        dialogue.command("EXEC Nonsense");
    });
    reaches_fallback(service.address(), "service-unfinished");
}

#[test]
fn says_it_failed() {
    let service = service(|dialogue| dialogue.raw("failure\n"));
    reaches_fallback(service.address(), "service-failure");
}

#[test]
fn decides_something_unknown() {
    let service = service(|dialogue| dialogue.decide(&[("HS_ACTION", "teleport")]));
    reaches_fallback(service.address(), "service-invalid");
}

#[test]
fn sends_the_call_in_circles() {
    let service = service(|dialogue| dialogue.decide(&[("HS_ACTION", "ivr"), ("HS_TARGET", "main")]));
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    Call::to("+15550001002").stay(1_000).expect_answered(&pbx);
    assert!(pbx.log().contains("+15550001002: service-loop"), "{}", pbx.log());
    assert_eq!(service.asked("ivr").len(), 31);
}

#[test]
fn away_when_the_call_ends() {
    let service = FakeAgi::start(|dialogue| match dialogue.script().as_str() {
        // Took the report, but died before it was safe.
        "ended" => {}
        _ => dialogue.decide(&[("HS_CALL_ID", "call1"), ("HS_TARGET", "17"), ("HS_ACTION", "hangup")]),
    });
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    Call::to("+15550001009").expect_refused(&pbx, 486);
    let kept = kept_report(&pbx);
    assert_eq!(service.asked("ended").len(), 1);
    assert!(kept.contains("call=call1,cause=17,at="), "{kept}");
    // A later dialogue can list and read what was kept.
    let key = kept.split_whitespace().next().unwrap().trim_start_matches("/hookswitch/").to_owned();
    assert_eq!(key, service.asked("ended")[0].fact("uniqueid"));
}

#[test]
fn the_time_limit_ends_with_the_question() {
    // A playback longer than the limit: were it still armed, the call would end in it.
    let service = FakeAgi::deciding(&[("HS_TARGET", "demo-instruct"), ("HS_ACTION", "playback")]);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let call = Call::to("+15550001000").stay(5_000).expect_answered(&pbx);
    assert!(!call.hung_up_by_pbx, "{call:?}");
    assert!(!pbx.log().contains("Hookswitch did not decide"));
}
