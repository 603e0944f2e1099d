//! Whatever the service does, the caller reaches the fallback within three seconds.

use crate::support::asterisk::{Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::fastagi::{self, Dialogue, FakeAgi};
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::wait;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
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

/// A phone's emergency call goes out without the service; a caller from outside, and other numbers, take the fallback.
#[test]
fn help_is_called_without_the_service() {
    let pbx = Pbx::start(&PbxOptions::new(fastagi::nobody()));
    let carrier =
        Phone::start(&pbx, "carrier", Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None });
    let fell = |number: &str| {
        pbx.log().contains(&format!("Hookswitch did not decide the call to {number}: service-failure"))
    };
    for number in ["112", "911"] {
        Call::to(number).by_phone("acme-102").stay(300).expect_answered(&pbx);
        assert!(!fell(number));
    }
    let invites = carrier.invites();
    assert!(
        invites[0].starts_with("invite sip:112@") && invites[1].starts_with("invite sip:911@"),
        "{invites:?}"
    );
    for (from, number) in [
        (None, "112"),
        (Some("acme-102"), "11"),
        (Some("acme-102"), "12-91"),
        (Some("acme-102"), "118"),
        (Some("acme-102"), "*112"),
    ] {
        let call = Call::to(number).stay(300);
        match from {
            Some(phone) => call.by_phone(phone),
            None => call,
        }
        .run(&pbx);
        assert_eq!(carrier.rang(), 2, "{from:?} {number}");
    }
    assert!(fell("112") && fell("11") && fell("118") && fell("*112"));
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
fn mute_while_the_caller_leaves() {
    let service = service(Dialogue::stay_mute);
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let call = Call::to("+15550001000").patience(700).run(&pbx);
    assert_eq!(call.refused, Some(487));
    // A dead channel would wait for the mute service without end: it is not asked.
    kept_report(&pbx);
    assert!(service.asked("ended").is_empty());
}

#[test]
fn mute_in_a_menu() {
    let service = service(|dialogue| match dialogue.script().as_str() {
        "route" => dialogue.decide(&[("HS_TARGET", "main"), ("HS_ACTION", "ivr")]),
        _ => dialogue.stay_mute(),
    });
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let call = Call::to("+15550001002").stay(20_000).start(&pbx);
    let asked = wait::until("the menu", || (!service.asked("ivr").is_empty()).then(wait::now));
    wait::until("the fallback", || pbx.log().contains("+15550001002: service-timeout").then_some(()));
    assert!(asked.elapsed() < FALLBACK_WITHIN, "{:?}", asked.elapsed());
    pbx.hang_up_all();
    call.finish();
}

#[test]
fn mute_after_arming_its_own_limit() {
    let service = service(|dialogue| match dialogue.script().as_str() {
        "route" => dialogue.decide(&[("HS_TARGET", "main"), ("HS_ACTION", "script")]),
        _ => {
            dialogue.command("SET VARIABLE TIMEOUT(absolute) 4");
            dialogue.stay_mute();
        }
    });
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    let call = Call::to("+15550001007").stay(20_000).start(&pbx);
    let asked = wait::until("the script", || (!service.asked("script").is_empty()).then(wait::now));
    wait::until("the fallback", || pbx.log().contains("+15550001007: service-timeout").then_some(()));
    // Not by the dialplan's limit (2.5 s) but by the one that the service set.
    assert!((3.5..5.5).contains(&asked.elapsed().as_secs_f64()), "{:?}", asked.elapsed());
    pbx.hang_up_all();
    call.finish();
}

#[test]
fn a_setting_of_the_operator_comes_back() {
    let service = service(Dialogue::stay_mute);
    let entry = "
[hookswitch-inbound]
exten => _9!,1,Set(AGIEXITONHANGUP=operators)
 same => n,Goto(hookswitch-inbound,+15550001000,1)
";
    let pbx = Pbx::start(&PbxOptions::new(service.address()).dialplan(entry));
    Call::to("9").stay(200).expect_answered(&pbx);
    let log = pbx.log();
    let set = |line: &&str| line.contains("Executing") && line.contains("\"AGIEXITONHANGUP=");
    let settings: Vec<&str> =
        log.lines().filter(set).filter_map(|line| line.split("AGIEXITONHANGUP=").nth(1)).collect();
    let settings: Vec<&str> = settings.iter().filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(settings, ["operators", "yes", "operators"], "{log}");
}

#[test]
fn frozen_when_the_call_ends() {
    // The report's connection hangs until the service is killed; then the report is kept.
    let (release, released) = std::sync::mpsc::channel::<()>();
    let released = Mutex::new(released);
    let service = FakeAgi::start(move |dialogue| match dialogue.script().as_str() {
        "ended" => drop(released.lock().unwrap().recv()),
        _ => dialogue.decide(&[("HS_TARGET", "hello-world"), ("HS_ACTION", "playback")]),
    });
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    Call::to("+15550001000").stay(300).expect_answered(&pbx);
    service.wait_asked("ended");
    assert!(pbx.cli("core show channels count").contains("1 active channel"));
    assert_eq!(pbx.kept_reports(), Vec::<String>::new());
    release.send(()).unwrap();
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
fn closes_when_asked_what_is_next() {
    // The decision before must not be taken for an answer to this question.
    let service = service(|dialogue| {
        if dialogue.script() == "route" {
            dialogue.decide(&[("HS_TARGET", "nobody"), ("HS_ACTION", "endpoint")]);
        }
    });
    reaches_fallback(service.address(), "service-unfinished");
    assert_eq!((service.asked("route").len(), service.asked("next").len()), (1, 1));
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
    // The first report dies before it is safe; the dialogue of the second picks it up.
    let picked_up = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&picked_up);
    let service = FakeAgi::start(move |dialogue| match dialogue.script().as_str() {
        "ended" => {
            let mut seen = seen.lock().unwrap();
            let keys = dialogue.command("GET FULL VARIABLE ${DB_KEYS(hookswitch)}");
            let key = keys.trim_start_matches("200 result=1 (").trim_end_matches(')');
            if !key.is_empty() {
                seen.push(dialogue.command(&format!("DATABASE GET hookswitch {key}")));
                seen.push(dialogue.command(&format!("DATABASE DEL hookswitch {key}")));
                dialogue.confirm_end();
            } else {
                seen.push(keys);
            }
        }
        _ => dialogue.decide(&[("HS_CALL_ID", "call1"), ("HS_TARGET", "17"), ("HS_ACTION", "hangup")]),
    });
    let pbx = Pbx::start(&PbxOptions::new(service.address()));
    Call::to("+15550001009").expect_refused(&pbx, 486);
    let kept = kept_report(&pbx);
    assert!(kept.contains("call=call1,cause=17,at="), "{kept}");
    assert!(kept.contains(&format!("/{} ", service.asked("ended")[0].fact("uniqueid"))), "{kept}");

    Call::to("+15550001009").expect_refused(&pbx, 486);
    pbx.wait_idle();
    let seen = picked_up.lock().unwrap().clone();
    assert_eq!(seen[0], "200 result=1 ()");
    assert!(seen[1].starts_with("200 result=1 (call=call1,cause=17,at="), "{seen:?}");
    assert_eq!(seen[2], "200 result=1");
    assert_eq!(pbx.kept_reports(), Vec::<String>::new());
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
