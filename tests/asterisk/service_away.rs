//! The real service stopped, killed or frozen: the caller reaches the fallback in time, and no call is lost.

use crate::support::asterisk::Pbx;
use crate::support::call::{Call, CallResult, Calling};
use crate::support::phone::Phone;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, ServiceOptions};
use crate::support::wait;
use crate::support::world::{Booked, World};
use std::time::{Duration, Instant};

/// The promise to the caller: after the time at which the answer was due.
const FALLBACK_WITHIN: Duration = Duration::from_secs(3);
const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };

on_both! {
    stopped,
    stopped_in_a_menu,
    killed_in_a_menu,
    frozen_before_the_decision,
    frozen_in_a_menu,
    killed_under_load,
    a_long_absence_leaves_more_reports_than_a_line_holds,
}

fn world(database: Database) -> World {
    World::start(&ServiceOptions::new(database))
}

fn in_fallback(pbx: &Pbx, number: &str, reason: &str) -> bool {
    pbx.log().contains(&format!("Hookswitch did not decide the call to {number}: {reason}"))
}

fn wait_fallback(pbx: &Pbx, number: &str, reason: &str, since: Instant, within: Duration) {
    wait::until("the fallback", || in_fallback(pbx, number, reason).then_some(()));
    let after = since.elapsed();
    println!("{reason}: fallback after {after:?}");
    assert!(after < within, "{reason}: fallback only after {after:?}");
}

/// A caller in the menu who has heard the whole prompt and is waited for.
fn in_menu(world: &World) -> Calling {
    let prompts = || world.pbx.log().matches("Playing 'vm-enter-num-to-call").count();
    let before = prompts();
    let call = Call::to("+15550001002").stay(25_000).start(&world.pbx);
    wait::until("the prompt", || (prompts() > before).then_some(()));
    call
}

fn only_fallback_result(pbx: &Pbx, call: Calling) -> CallResult {
    pbx.hang_up_all();
    call.finish().remove(0)
}

/// A later call, whose report picks up what was kept; then the books. Returns those before it.
fn books_after_another_call(world: &World) -> Vec<Booked> {
    Call::to("+15550001009").expect_refused(&world.pbx, 404);
    let mut booked = world.books();
    let last = booked.pop().unwrap();
    assert_eq!((last.row.reason.as_str(), last.row.ended_by.as_str()), ("inactive-did", "hook"));
    assert_eq!(world.pbx.kept_reports(), Vec::<String>::new());
    booked
}

fn stopped(database: Database) {
    let mut world = world(database);
    assert!(world.service.stop().success());
    let call = Call::to("+15550001000").from("+15557770001").stay(300).expect_answered(&world.pbx);
    assert!(call.answered_after.unwrap() < FALLBACK_WITHIN, "{call:?}");
    assert!(in_fallback(&world.pbx, "+15550001000", "service-failure"));
    world.service.start_again();
    let booked = books_after_another_call(&world);
    assert_eq!(booked.len(), 1);
    let row = &booked[0].row;
    assert_eq!((row.tenant_id.as_str(), row.caller_number.as_str()), ("acme", "+15557770001"));
    assert_eq!((row.fallback.as_str(), row.ended_by.as_str()), ("service-failure", "late"));
    assert!(row.answered_at.is_some() && booked[0].traces.is_empty(), "{booked:?}");
}

fn stopped_in_a_menu(database: Database) {
    let mut world = world(database);
    let phone = Phone::start(&world.pbx, "acme-101", ANSWERS);
    let call = Call::to("+15550001002").digits("2", 4_000).stay(20_000).start(&world.pbx);
    wait::until("the menu", || world.pbx.log().contains("Playing 'vm-enter-num").then_some(()));
    world.service.terminate();
    // No new calls ...
    let refused = || std::net::TcpStream::connect(world.service.agi()).is_err();
    wait::until("the service to take no more", || refused().then_some(()));
    let other = Call::to("+15550001000").stay(200).expect_answered(&world.pbx);
    assert!(other.answered_after.unwrap() < FALLBACK_WITHIN, "{other:?}");
    assert!(in_fallback(&world.pbx, "+15550001000", "service-failure"));
    // ... but the caller in the menu gets where he wants to.
    phone.wait_answered(0);
    let status = world.service.ended();
    assert_eq!(status.code(), Some(0), "{}", world.service.log());
    world.pbx.hang_up_all();
    call.finish();
    world.service.start_again();
    let booked = books_after_another_call(&world);
    assert_eq!(booked.len(), 2);
    let menu = booked.iter().find(|b| b.row.did == "+15550001002").unwrap();
    assert_eq!((menu.row.action.as_str(), menu.row.reason.as_str()), ("endpoint", "ivr"));
    assert_eq!((menu.row.ended_by.as_str(), menu.row.fallback.as_str()), ("late", ""));
    assert_eq!(menu.traces.len(), 2);
}

fn killed_in_a_menu(database: Database) {
    let mut world = world(database);
    let call = in_menu(&world);
    let at = wait::now();
    world.service.kill();
    wait_fallback(&world.pbx, "+15550001002", "service-unfinished", at, FALLBACK_WITHIN);
    only_fallback_result(&world.pbx, call);
    world.service.start_again();
    assert_eq!(world.service.metric(&["hookswitch_live_calls"]), 1.0);
    let booked = books_after_another_call(&world);
    assert_eq!(booked.len(), 1);
    let row = &booked[0].row;
    assert_eq!((row.action.as_str(), row.target.as_str()), ("ivr", "main"));
    assert_eq!((row.fallback.as_str(), row.ended_by.as_str()), ("service-unfinished", "late"));
    assert_eq!(booked[0].traces.len(), 1);
    assert_eq!(world.service.metric(&["hookswitch_live_calls"]), 0.0);
}

fn frozen_before_the_decision(database: Database) {
    let world = world(database);
    world.service.freeze();
    let call = Call::to("+15550001000").stay(300).expect_answered(&world.pbx);
    assert!(call.answered_after.unwrap() < FALLBACK_WITHIN, "{call:?}");
    assert!(in_fallback(&world.pbx, "+15550001000", "service-timeout"));
    world.pbx.wait_idle();
    world.service.thaw();
    let booked = books_after_another_call(&world);
    assert_eq!(booked.len(), 1, "{booked:#?}");
    let row = &booked[0].row;
    assert_eq!((row.fallback.as_str(), row.ended_by.as_str()), ("service-timeout", "late"));
    assert_eq!(world.service.metric(&["hookswitch_live_calls"]), 0.0);
}

fn frozen_in_a_menu(database: Database) {
    let world = world(database);
    // A first caller hears the prompt out, so that its length is known.
    let first = in_menu(&world);
    wait::until("the second prompt", || {
        (world.pbx.log().matches("Playing 'vm-enter-num-to-call").count() > 1).then_some(())
    });
    only_fallback_result(&world.pbx, first);
    world.pbx.wait_idle();

    let call = in_menu(&world);
    world.service.freeze();
    // The prompt of two seconds is due to end; then nobody asks for a key.
    wait_fallback(
        &world.pbx,
        "+15550001002",
        "service-timeout",
        wait::now(),
        Duration::from_secs(2) + FALLBACK_WITHIN,
    );
    only_fallback_result(&world.pbx, call);
    world.pbx.wait_idle();
    world.service.thaw();
    let booked = books_after_another_call(&world);
    assert_eq!(booked.len(), 2);
    let row = &booked[1].row;
    assert_eq!((row.did.as_str(), row.fallback.as_str()), ("+15550001002", "service-timeout"));
    assert_eq!(row.ended_by, "late");
    assert_eq!(world.service.metric(&["hookswitch_live_calls"]), 0.0);
}

fn killed_under_load(database: Database) {
    const CALLS: u32 = 300;
    let mut world = world(database);
    let _phone = Phone::start(&world.pbx, "acme-101", Behaviour::NeverAnswers);
    // Half of them are decided and over at once, half ring until the caller gives up; in the fallback both are
    // answered.
    let over = Call::to("+15550001009").stay(100);
    let after = over.clone().times(CALLS / 3, 25);
    let over = over.times(CALLS / 2, 25).start(&world.pbx);
    let rings = Call::to("+15550001001").patience(900).stay(100).times(CALLS / 2, 25).start(&world.pbx);
    wait::until("a third of the calls", || {
        (world.service.metric(&["hookswitch_decisions_total", "route"]) > f64::from(CALLS / 3)).then_some(())
    });
    world.service.kill();
    let failed = || {
        let warnings = world.pbx.complaints();
        warnings.iter().filter(|line| line.contains("Hookswitch did not decide")).count()
    };
    wait::until("calls without the service", || (failed() > 20).then_some(()));
    // Of calls that nobody decided (no id) and of such that rang already.
    let kept = wait::until("their reports to be kept", || {
        let kept = world.pbx.kept_reports();
        let decided = kept.iter().filter(|report| !report.contains("call=,")).count();
        (decided > 0 && kept.len() - decided > 10).then_some(kept.len())
    });
    world.service.start_again();
    let (mut over, rings) = (over.finish(), rings.finish());
    // However long the start took: the service knows each of these.
    let before = world.service.metric(&["hookswitch_decisions_total", "route"]);
    over.extend(after.run_all(&world.pbx));
    let decisions = world.service.metric(&["hookswitch_decisions_total", "route"]) - before;
    assert!(decisions >= f64::from(CALLS / 3), "only {decisions} afterwards");
    assert!(over.iter().all(|call| call.refused == Some(404) || call.answered_after.is_some()), "{over:?}");
    assert!(rings.iter().all(|call| call.refused == Some(487) || call.answered_after.is_some()), "{rings:?}");
    // Twenty kept reports are picked up by each later call.
    wait::until("all kept reports to be picked up", || {
        Call::to("+15550001009").expect_refused(&world.pbx, 404);
        world.pbx.wait_idle();
        world.pbx.kept_reports().is_empty().then_some(())
    });
    // Each call of Asterisk's is there once, with its end; each that got a decision has its trace.
    let booked = world.books();
    assert!(booked.len() > (CALLS + CALLS / 3) as usize);
    let late = booked.iter().filter(|b| b.row.ended_by == "late").count();
    let undecided = booked.iter().filter(|b| b.traces.is_empty()).count();
    println!("{} calls, {late} reported late, {undecided} without the service", booked.len());
    assert!(
        undecided > 10 && late >= kept,
        "{undecided} undecided, {late} late, {kept} kept before the restart"
    );
    let decided: Vec<String> =
        world.pbx.cdrs().into_iter().map(|cdr| cdr.call).filter(|id| !id.is_empty()).collect();
    assert!(decided.iter().all(|id| booked.iter().any(|b| b.row.id == *id && !b.traces.is_empty())));
    assert_eq!(world.service.metric(&["hookswitch_live_calls"]), 0.0);
    assert_eq!(world.service.metric(&["hookswitch_journal_rejected"]), 0.0);
}

fn a_long_absence_leaves_more_reports_than_a_line_holds(database: Database) {
    let dialplan = "
[hookswitch-inbound]
exten => 777,1,Set(N=0)
 same => n(more),Set(DB(hookswitch/1795347424.${N})=cause=16)
 same => n,Set(N=$[${N} + 1])
 same => n,GotoIf($[${N} < 4200]?more)
 same => n,Hangup(17)
";
    let world = World::with_dialplan(&ServiceOptions::new(database), dialplan);
    Call::to("777").expect_refused(&world.pbx, 486);
    let kept = world.pbx.kept_reports().len();
    assert_eq!(kept, 4_200);
    Call::to("+15550001009").expect_refused(&world.pbx, 404);
    world.pbx.wait_idle();
    assert_eq!(world.pbx.kept_reports().len(), kept - 20);
    assert_eq!(world.service.metric(&["hookswitch_agi_out_of_step"]), 0.0);
}
