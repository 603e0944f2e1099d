//! What an agent does, as a machine: the agent chooses, the phone talks and hangs up, time runs out. Pure.
//!
//! `working` is available or busy, `resting` is away, break or dnd; both are the agent's own choice. While the phone talks the
//! agent is busy; the choice made meanwhile comes true after it. Who works has a rest after the call (`wrapup`, busy too)
//! where the queue or the tenant has `wrapup_s`. Whoever is offline did not sign in, and the phone does not change that: who
//! signs in while it talks works and talks in one step.
//!
//! ```mermaid
//! stateDiagram-v2
//!     [*] --> offline
//!     offline --> working: choose working
//!     offline --> resting: choose resting
//!     working --> resting: choose resting
//!     working --> offline: choose offline
//!     working --> talking: talk
//!     resting --> working: choose working
//!     resting --> offline: choose offline
//!     resting --> talking: talk
//!     talking --> wrapup: hang up, with wrapup_s
//!     talking --> working: hang up
//!     talking --> resting: hang up
//!     talking --> offline: hang up
//!     talking --> working: leave
//!     talking --> resting: leave
//!     talking --> offline: leave
//!     wrapup --> working: time is up
//!     wrapup --> working: leave
//!     wrapup --> working: choose working
//!     wrapup --> resting: choose resting
//!     wrapup --> offline: choose offline
//!     wrapup --> talking: talk
//! ```
//!
//! `leave` is another phone, or none: a talk at the phone before is not followed any more.

use super::AgentStatus;
use crate::base::words::words;
use crate::config::limits::agents as limits;

words! {
    /// What holds an agent beside the own choice.
    pub enum AgentPhase {
        /// Nothing.
        Free = "free",
        /// The phone talks.
        Talking = "talking",
        /// The rest after a call.
        Wrapup = "wrapup",
    }
}

/// The reason of whoever rests after a call.
pub const WRAPUP: &str = "wrap-up";

/// An agent's place in the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// What holds the agent.
    pub phase: AgentPhase,
    /// The own choice.
    pub choice: AgentStatus,
    /// Why; empty: not told.
    pub choice_reason: String,
    /// When the rest ends, microseconds since 1970 UTC.
    pub until_us: Option<i64>,
    /// The call that is talked on, or was before the rest; empty: none.
    pub call: String,
    /// Since when it is so, microseconds since 1970 UTC.
    pub since_us: i64,
    /// The state before; `None`: there was none.
    pub previous: Option<AgentStatus>,
}

/// What happens to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal<'s> {
    /// The agent chooses a state, for a reason.
    Choose(AgentStatus, &'s str),
    /// The phone talks, on this call.
    Talk(&'s str),
    /// The phone does not talk any more; so many seconds of rest.
    HangUp(i64),
    /// It is later.
    TimeIsUp,
    /// The agent needs so many seconds more.
    Extend(i64),
    /// The agent sits elsewhere.
    Leave,
}

impl Standing {
    /// Of somebody who chose that then.
    pub fn new(choice: AgentStatus, at_us: i64) -> Self {
        Self {
            phase: AgentPhase::Free,
            choice,
            choice_reason: String::new(),
            until_us: None,
            call: String::new(),
            since_us: at_us,
            previous: None,
        }
    }

    /// The state that is shown.
    pub fn state(&self) -> AgentStatus {
        if self.phase == AgentPhase::Free { self.choice } else { AgentStatus::Busy }
    }

    /// Why, as it is shown; empty: not told.
    pub fn reason(&self) -> &str {
        match self.phase {
            AgentPhase::Free => &self.choice_reason,
            AgentPhase::Talking => "",
            AgentPhase::Wrapup => WRAPUP,
        }
    }

    /// What queues see: the choice at once, so that no call comes between a talk and the break behind it; the rest is a pause.
    pub fn seat(&self) -> (AgentStatus, &str) {
        match self.phase {
            AgentPhase::Wrapup => (AgentStatus::Break, WRAPUP),
            _ => (self.choice, &self.choice_reason),
        }
    }

    /// The place after something happened, at `at_us` microseconds since 1970 UTC; not before the place began.
    #[must_use]
    pub fn next(&self, signal: Signal<'_>, at_us: i64) -> Self {
        let at_us = at_us.max(self.since_us);
        let mut next = self.clone();
        match (signal, self.phase) {
            (Signal::Choose(choice, reason), phase) => {
                (next.choice, next.choice_reason) = (choice, reason.to_owned());
                if phase == AgentPhase::Wrapup {
                    next.free();
                }
            }
            (Signal::Talk(_), AgentPhase::Free) if self.choice == AgentStatus::Offline => {}
            (Signal::Talk(call), _) => {
                (next.phase, next.until_us, next.call) = (AgentPhase::Talking, None, call.to_owned());
            }
            (Signal::HangUp(rest_s), AgentPhase::Talking) if rest_s > 0 && !self.rests() => {
                next.phase = AgentPhase::Wrapup;
                next.until_us = Some(at_us.saturating_add(rest_s.saturating_mul(1_000_000)));
            }
            (Signal::HangUp(_) | Signal::Leave, AgentPhase::Talking)
            | (Signal::Leave, AgentPhase::Wrapup) => {
                next.free();
            }
            (Signal::TimeIsUp, AgentPhase::Wrapup) if self.until_us.is_none_or(|until| until <= at_us) => {
                next.free();
                // The rest was as long as it was meant to be, however late somebody looks.
                next.since_us = self.until_us.unwrap_or(at_us);
            }
            (Signal::Extend(by_s), AgentPhase::Wrapup) => {
                let until_us = self.until_us.unwrap_or(at_us).saturating_add(by_s.saturating_mul(1_000_000));
                next.until_us = Some(until_us.min(at_us.saturating_add(limits::WRAPUP_MOST_US)));
            }
            _ => {}
        }
        next.moved(self, at_us)
    }

    fn free(&mut self) {
        (self.phase, self.until_us, self.call) = (AgentPhase::Free, None, String::new());
    }

    /// Whether the choice is no work.
    fn rests(&self) -> bool {
        self.choice.is_paused()
    }

    /// With the time and the state before, where it is another place. A repeat does not start the time anew.
    fn moved(mut self, before: &Self, at_us: i64) -> Self {
        if self.phase != before.phase || self.state() != before.state() {
            self.since_us = if self.since_us == before.since_us { at_us } else { self.since_us };
        }
        if self.state() != before.state() {
            self.previous = Some(before.state());
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The diagram's word for a place.
    fn place(standing: &Standing) -> &'static str {
        match (standing.phase, standing.choice) {
            (AgentPhase::Talking, _) => "talking",
            (AgentPhase::Wrapup, _) => "wrapup",
            (_, AgentStatus::Offline) => "offline",
            (_, AgentStatus::Available | AgentStatus::Busy) => "working",
            _ => "resting",
        }
    }

    /// Every place that can be reached, by signals from the first.
    fn places(signals: &[(String, Signal<'static>)]) -> Vec<Standing> {
        let key = |one: &Standing| (one.phase as u8, one.choice as u8);
        let mut found = vec![Standing::new(AgentStatus::Offline, 0)];
        let mut known: BTreeSet<_> = found.iter().map(key).collect();
        let mut n = 0;
        while n < found.len() {
            for (_, signal) in signals {
                let next = found[n].next(*signal, i64::MAX / 2);
                if known.insert(key(&next)) {
                    found.push(Standing { since_us: 0, until_us: next.until_us.map(|_| 9), ..next });
                }
            }
            n += 1;
        }
        found
    }

    fn signals() -> Vec<(String, Signal<'static>)> {
        let choose = AgentStatus::WORDS.iter().map(|word| {
            let state = AgentStatus::parse(word).unwrap();
            let what = place(&Standing::new(state, 0));
            (format!("choose {what}"), Signal::Choose(state, "x"))
        });
        let others = [
            ("talk", Signal::Talk("c")),
            ("hang up, with wrapup_s", Signal::HangUp(30)),
            ("hang up", Signal::HangUp(0)),
            ("time is up", Signal::TimeIsUp),
            ("extend", Signal::Extend(30)),
            ("leave", Signal::Leave),
        ];
        choose.chain(others.map(|(name, signal)| (name.to_owned(), signal))).collect()
    }

    #[test]
    fn the_diagram_is_what_the_machine_does() {
        let signals = signals();
        let places = places(&signals);
        assert_eq!(places.len(), 6 + 6 + 2, "free, talking and wrapup with each choice that they can have");
        let mut made = BTreeSet::new();
        for before in &places {
            for (name, signal) in &signals {
                let after = before.next(*signal, 100);
                let (from, to) = (place(before), place(&after));
                // A rest that is not due for those who rest: they hang up as if there were none.
                let name = match (from, to) {
                    ("talking", "resting" | "offline") if name.starts_with("hang up") => "hang up",
                    _ => name.as_str(),
                };
                if from != to {
                    made.insert(format!("{from} --> {to}: {name}"));
                }
            }
        }
        let text = include_str!("standing.rs");
        let drawn: BTreeSet<String> = text
            .lines()
            .filter_map(|line| line.strip_prefix("//!     "))
            .filter(|line| line.contains("-->") && !line.starts_with("[*]"))
            .map(str::to_owned)
            .collect();
        assert_eq!(made, drawn);
    }

    #[test]
    fn times_and_reasons_follow_the_place() {
        let start =
            Standing::new(AgentStatus::Offline, 0).next(Signal::Choose(AgentStatus::Available, ""), 10);
        assert_eq!((start.since_us, start.previous), (10, Some(AgentStatus::Offline)));
        let talk = start.next(Signal::Talk("c1"), 20);
        assert_eq!(
            (talk.state(), talk.reason(), talk.call.as_str(), talk.since_us),
            (AgentStatus::Busy, "", "c1", 20)
        );
        assert_eq!(talk.next(Signal::Talk("c1"), 25), talk, "a repeat");
        assert_eq!(talk.seat(), (AgentStatus::Available, ""));
        // A choice during the talk is what queues see at once, and comes true after it, without a rest.
        let tea = talk.next(Signal::Choose(AgentStatus::Break, "tea"), 30);
        assert_eq!(
            (tea.state(), tea.since_us, tea.seat()),
            (AgentStatus::Busy, 20, (AgentStatus::Break, "tea"))
        );
        let tea = tea.next(Signal::HangUp(60), 40);
        assert_eq!(
            (tea.state(), tea.reason(), tea.since_us, tea.call.as_str()),
            (AgentStatus::Break, "tea", 40, "")
        );
        // The rest: longer, shorter, and as long as it was meant to be however late somebody looks.
        let rest = talk.next(Signal::HangUp(60), 40);
        assert_eq!((rest.state(), rest.reason(), rest.since_us), (AgentStatus::Busy, WRAPUP, 40));
        assert_eq!((rest.until_us, rest.call.as_str()), (Some(60_000_040), "c1"));
        assert_eq!(rest.seat(), (AgentStatus::Break, WRAPUP));
        assert_eq!(rest.next(Signal::TimeIsUp, 60_000_039), rest);
        let longer = rest.next(Signal::Extend(30), 50);
        assert_eq!((longer.until_us, longer.since_us), (Some(90_000_040), 40));
        assert_eq!(longer.next(Signal::Extend(i64::MAX), 50).until_us, Some(50 + limits::WRAPUP_MOST_US));
        let over = longer.next(Signal::TimeIsUp, 500_000_000);
        assert_eq!(
            (over.state(), over.since_us, over.previous),
            (AgentStatus::Available, 90_000_040, Some(AgentStatus::Busy))
        );
        let early = rest.next(Signal::Choose(AgentStatus::Available, ""), 45);
        assert_eq!((early.state(), early.since_us, early.until_us), (AgentStatus::Available, 45, None));
        // What is told late does not lie before what is known.
        assert_eq!(early.next(Signal::Talk("c2"), 1).since_us, 45);
    }
}
