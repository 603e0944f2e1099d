//! The states of calls, and how one becomes another.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

/// The steps that a call takes when these things happen to it.
fn steps(script: impl IntoIterator<Item = Step>) -> BTreeSet<(State, State)> {
    let (mut table, mut last, mut seen) = (Table::default(), None, BTreeSet::new());
    for step in script {
        match step {
            Step::Told(told) => drop(table.take("pbx", &told)),
            Step::Place(id, place) => table.place(id, place),
        }
        is_sound(&table);
        let now = table.of_tenant(&tenant()).first().map(|call| call.state);
        if let (Some(from), Some(to)) = (last, now)
            && from != to
        {
            seen.insert((from, to));
        }
        last = now.or(last);
    }
    seen
}

fn drawn() -> BTreeSet<(State, State)> {
    State::STEPS.iter().copied().collect()
}

/// The diagram in the documents is that of the code, and every step of it is one that calls take.
#[test]
fn the_diagram_is_that_of_the_code() {
    let shown = include_str!("../states.md");
    let wanted = format!("```mermaid\n{}```\n", State::diagram());
    assert_eq!(shown, wanted, "src/calls/table/states.md is to be:\n{wanted}");
    let mut seen: BTreeSet<(State, State)> = scripts().into_iter().flat_map(steps).collect();
    seen.extend(steps(call().into_iter().map(|told| Step::Told(Box::new(told)))));
    assert_eq!(seen, drawn());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever people do in whatever order they can, it is a step of the diagram.
    #[test]
    fn no_call_takes_another_step(deeds in prop::collection::vec(0_u8..10, 0..40)) {
        let taken = steps(walk(&deeds));
        prop_assert!(taken.is_subset(&drawn()), "{:?}", taken.difference(&drawn()).collect::<Vec<_>>());
    }
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

fn word(second: i64, kind: &str, more: Value) -> Step {
    Step::Told(Box::new(told(second, kind, more)))
}

fn created(channel: Value) -> Step {
    word(0, "ChannelCreated", json!({ "channel": channel }))
}

fn state(second: i64, channel: Value) -> Step {
    word(second, "ChannelStateChange", json!({ "channel": channel }))
}

fn gone(second: i64, channel: Value) -> Step {
    word(second, "ChannelDestroyed", json!({"cause": 16, "cause_txt": "", "channel": channel}))
}

fn dials(second: i64, who: Value, to: Value) -> Step {
    word(second, "Dial", json!({"caller": who, "peer": to, "dialstatus": ""}))
}

fn joins(second: i64, channels: &[&str], who: Value) -> Step {
    word(second, "ChannelEnteredBridge", json!({"bridge": bridge(channels), "channel": who}))
}

fn leaves(second: i64, channels: &[&str], who: Value) -> Step {
    word(second, "ChannelLeftBridge", json!({"bridge": bridge(channels), "channel": who}))
}

fn third() -> Value {
    runs(channel("c", "PJSIP/acme-102-00000003", "Up", "a", ""), "AppDial")
}

fn parked() -> Place {
    Place::Parked(Slot { number: 701, until_s: 0, by: String::new() })
}

/// A command has the call taken from the dialplan.
fn taken(app: &str, steps: &mut Vec<Step>) -> &'static str {
    if app != "Stasis" {
        steps.push(state(3, runs(caller("Up"), "Stasis")));
    }
    "Stasis"
}

/// What people do, as far as it can be done where the call is: it is queued or not, a phone rings, answers, holds and takes back,
/// the call is held, parked, taken and sent back to the dialplan, a third joins and leaves, the phone hangs up.
fn walk(deeds: &[u8]) -> Vec<Step> {
    let mut steps = vec![created(runs(caller("Ring"), "AGI")), state(1, runs(caller("Up"), "AGI"))];
    let (mut app, mut at, mut holds, mut place, mut is_three) = ("AGI", "", false, Place::Dialplan, false);
    for deed in deeds {
        let a = || runs(caller("Up"), app);
        let talks = at == "Up" && !is_three && !holds && place != parked();
        match deed {
            0 | 1 if at.is_empty() && place == Place::Dialplan => {
                app = if *deed == 0 { "Queue" } else { "Dial" };
                steps.push(state(1, runs(caller("Up"), app)));
            }
            2 if at.is_empty() && app != "AGI" && place == Place::Dialplan => {
                steps.extend([
                    created(phone("Down")),
                    dials(1, a(), phone("Down")),
                    state(1, phone("Ringing")),
                ]);
                at = "Ringing";
            }
            3 if at == "Ringing" => {
                steps.extend([
                    state(2, phone("Up")),
                    joins(2, &["b"], phone("Up")),
                    joins(2, &["a", "b"], a()),
                ]);
                at = "Up";
            }
            4 if talks && place != Place::Held => {
                holds = true;
                steps.push(word(3, "ChannelHold", json!({"channel": phone("Up")})));
            }
            5 if holds => {
                holds = false;
                steps.push(word(3, "ChannelUnhold", json!({"channel": phone("Up")})));
            }
            6 if talks => {
                app = taken(app, &mut steps);
                place = if place == Place::Held { Place::Talk } else { Place::Held };
                steps.push(Step::Place("a", place.clone()));
            }
            7 if talks || (place == parked() && at == "Up") => {
                app = taken(app, &mut steps);
                place = if place == parked() { Place::Talk } else { parked() };
                steps.push(Step::Place("a", place.clone()));
            }
            8 if talks && place != Place::Held => {
                is_three = true;
                steps.extend([created(third()), joins(4, &["a", "b", "c"], third())]);
            }
            8 if is_three => {
                is_three = false;
                steps.extend([leaves(5, &["a", "b"], third()), gone(5, third())]);
            }
            9 if !is_three && !at.is_empty() => {
                let others: &[&str] = if at == "Up" { &["a"] } else { &[] };
                steps.extend([leaves(6, others, phone(at)), gone(6, phone(at))]);
                (at, holds) = ("", false);
                // Whoever is in our hands goes on in the dialplan.
                if place != Place::Dialplan {
                    (app, place) = ("AGI", Place::Dialplan);
                    steps.push(Step::Place("a", Place::Dialplan));
                }
            }
            _ => {}
        }
    }
    steps
}

/// Calls that take every step: by a queue in which nobody answers at first, by a phone, in our hands.
fn scripts() -> Vec<Vec<Step>> {
    let dial = || runs(caller("Up"), "Dial");
    let phone = |state: &str| runs(phone(state), "AppDial");
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
    let ours = vec![
        created(runs(caller("Ring"), "AGI")),
        created(phone("Down")),
        dials(1, dial(), phone("Down")),
        state(2, phone("Ringing")),
        state(3, phone("Up")),
        joins(3, &["b"], phone("Up")),
        joins(3, &["a", "b"], dial()),
        Step::Place("a", Place::Held),
        Step::Place("a", Place::Talk),
        Step::Place("a", parked()),
        Step::Place("a", Place::Talk),
        created(third()),
        joins(5, &["a", "b", "c"], third()),
        leaves(6, &["a", "b"], third()),
        leaves(7, &["a"], phone("Up")),
    ];
    let talk = |channels: Value| {
        vec![
            created(runs(caller("Ring"), "AGI")),
            state(1, channels.clone()),
            created(phone("Down")),
            dials(1, channels.clone(), phone("Down")),
            state(2, phone("Ringing")),
            state(3, phone("Up")),
            joins(3, &["b"], phone("Up")),
            joins(3, &["a", "b"], channels),
        ]
    };
    let hold = || Step::Told(Box::new(told(4, "ChannelHold", json!({"channel": phone("Up")}))));
    let ends = |begins: Vec<Step>, ends: Vec<Step>| begins.into_iter().chain(ends).collect::<Vec<Step>>();
    let given_up = ends(talk(caller("Up")), vec![gone(5, phone("Up"))]);
    let held_to_queue = ends(talk(caller("Up")), vec![hold(), gone(5, phone("Up"))]);
    let held_to_dialplan = ends(talk(dial()), vec![hold(), gone(5, phone("Up"))]);
    let handed_on = ends(
        talk(dial()),
        vec![
            Step::Place("a", Place::Held),
            Step::Place("a", parked()),
            gone(5, phone("Up")),
            Step::Place("a", Place::Dialplan),
        ],
    );
    let waited_in_vain = vec![
        created(runs(caller("Ring"), "AGI")),
        state(1, caller("Up")),
        state(2, runs(caller("Up"), "AGI")),
    ];
    vec![queue, waited_in_vain, unanswered, ours, given_up, held_to_queue, held_to_dialplan, handed_on]
}
