//! `GET /agents/report`: how long agents were in which state, folded from the log.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::AgentStatus;
use super::api::AGENTS;
use super::log::{self, Row};
use super::standing::AgentPhase;
use crate::api::check::{read_time, show_time};
use crate::api::{
    Action, Call, Doing, Fault, Field, Handler, Operation, Output, Parameter, Problem, Reply, Shape,
};
use crate::base::role::Roles;
use crate::config::limits::agents as limits;

/// What one user did in a time; lengths in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// By state.
    pub states: BTreeMap<String, i64>,
    /// Of breaks, by reason; empty: none was told.
    pub breaks: BTreeMap<String, i64>,
    /// Of busy: talks.
    pub talking_us: i64,
    /// Of busy: rests after calls.
    pub wrapup_us: i64,
    /// How often a talk began.
    pub talks: i64,
    /// How often the agent came on.
    pub logins: i64,
}

/// Adds up rows of a time; a row that lasts ends now. What lies before and behind does not count, and neither does what is
/// said to begin there.
pub fn fold(rows: &[Row], (from_us, to_us): (i64, i64), now_us: i64) -> BTreeMap<String, Line> {
    let mut lines: BTreeMap<String, Line> = BTreeMap::new();
    for row in rows {
        let (begin, end) = (row.since.max(from_us), row.until.unwrap_or(now_us).min(to_us));
        let length = (end - begin).max(0);
        let line = lines.entry(row.user_id.clone()).or_default();
        *line.states.entry(row.state.clone()).or_default() += length;
        if row.state == AgentStatus::Break.as_str() {
            let is_new = !line.breaks.contains_key(&row.reason);
            let reason = match is_new && line.breaks.len() >= limits::REPORT_REASONS {
                true => "",
                false => &row.reason,
            };
            *line.breaks.entry(reason.to_owned()).or_default() += length;
        }
        let begins = (from_us..to_us).contains(&row.since);
        let phase = AgentPhase::parse(&row.phase);
        match phase {
            Some(AgentPhase::Talking) => {
                line.talking_us += length;
                line.talks += i64::from(begins);
            }
            Some(AgentPhase::Wrapup) => line.wrapup_us += length,
            _ => {}
        }
        line.logins += i64::from(begins && row.is_login);
    }
    lines
}

static LINES: Shape = Shape {
    bytes: usize::MAX,
    check: |_, _| {},
    schema: r#"{"type":"array","items":{"type":"object","additionalProperties":false,
        "required":["user_id","available_s","busy_s","away_s","break_s","offline_s","dnd_s","talking_s","wrapup_s","breaks",
        "talks","logins"],"properties":{
        "user_id":{"type":"string","description":"The user."},
        "available_s":{"type":"integer","minimum":0,"description":"Seconds available."},
        "busy_s":{"type":"integer","minimum":0,"description":"Seconds busy, talks and rests after calls included."},
        "away_s":{"type":"integer","minimum":0,"description":"Seconds away."},
        "break_s":{"type":"integer","minimum":0,"description":"Seconds of breaks."},
        "offline_s":{"type":"integer","minimum":0,"description":"Seconds offline, as far as there was a state."},
        "dnd_s":{"type":"integer","minimum":0,"description":"Seconds undisturbed."},
        "talking_s":{"type":"integer","minimum":0,"description":"Of busy: seconds of talks."},
        "wrapup_s":{"type":"integer","minimum":0,"description":"Of busy: seconds of rests after calls."},
        "breaks":{"type":"array","description":"Breaks by reason.","items":{"type":"object","additionalProperties":false,
            "required":["reason","seconds"],"properties":{
            "reason":{"type":["string","null"],"description":"Why, in the agent's words; null: not told, or one of too many."},
            "seconds":{"type":"integer","minimum":0,"description":"For how long."}}}},
        "talks":{"type":"integer","minimum":0,"description":"Talks that began."},
        "logins":{"type":"integer","minimum":0,"description":"How often the agent came on."}}}}"#,
    example: r#"[{"user_id":"01kb2x8v9q3d5s7f1g4h6j8k0m","available_s":18000,"busy_s":7200,"away_s":0,"break_s":1800,
        "offline_s":59400,"dnd_s":0,"talking_s":6000,"wrapup_s":1200,"breaks":[{"reason":"lunch","seconds":1800}],"talks":31,
        "logins":1}]"#,
};

static REPORT: &[Field] = &[
    Field::time("from", "Time from then on."),
    Field::time("to", "Time before then."),
    Field::json("agents", &LINES, "A line for each user who had a state in the time."),
];

/// `/agents/report`
pub(super) fn action() -> Action {
    let parameter = |field, required| Parameter { field, required };
    Action {
        operation: Operation {
            doc: "Folded from the log of states (GET /agents/{agent_id}/states). A state that lasts counts until now. Lengths \
                  are whole seconds, rounded down. Agents see their own line."
                .into(),
            query: vec![
                parameter(Field::time("from", "Time from then on.").example("\"2026-11-23T00:00:00Z\""), true),
                parameter(Field::time("to", "Time before then; now unless told."), false),
                parameter(Field::id("user_id", "Only this user's line."), false),
            ],
            output: Output::Object("AgentReport", REPORT, 200),
            deadline: limits::REPORT_TIME,
            ..Operation::new(
                "agents.report",
                "GET",
                "/agents/report",
                "Read how long agents were in which state",
                AGENTS.may.read,
            )
        },
        handler: Handler::read(show),
    }
}

fn show(call: &Call) -> Doing<'_, Result<Reply, Problem>> {
    Box::pin(async move {
        let (tenant, caller, now_us) = (call.tenant()?, call.caller()?, call.now_us());
        let time = |name: &str| call.parameter(name).and_then(read_time);
        let (from_us, to_us) = (time("from").unwrap_or_default(), time("to").unwrap_or(now_us));
        if to_us <= from_us {
            return Err(Problem::bad_query(vec![Fault::parameter("to", "This must be behind `from`.")]));
        }
        let asked = call.parameter("user_id").unwrap_or_default();
        let user = if Roles::ONLY_AGENTS.has(caller.role) { caller.id().as_str() } else { asked };
        let mut rows = log::between(&call.db, tenant, user, (from_us, to_us)).await?;
        if i64::try_from(rows.len()).unwrap_or(i64::MAX) > limits::REPORT_ROWS {
            let why = "Too much has happened in this time; ask for less of it, or for one user.";
            return Err(Problem::bad_query(vec![Fault::parameter("to", why)]));
        }
        rows.retain(|row| asked.is_empty() || row.user_id == asked);
        let lines = fold(&rows, (from_us, to_us), now_us);
        Ok(Reply::json(json!({
            "from": show_time(from_us), "to": show_time(to_us),
            "agents": lines.iter().map(|(user, line)| shown(user, line)).collect::<Vec<Value>>(),
        })))
    })
}

fn shown(user: &str, line: &Line) -> Value {
    let s = |us: i64| us / 1_000_000;
    let breaks = line.breaks.iter().map(
        |(reason, us)| json!({"reason": Some(reason).filter(|reason| !reason.is_empty()), "seconds": s(*us)}),
    );
    let mut shown = json!({
        "user_id": user, "talking_s": s(line.talking_us), "wrapup_s": s(line.wrapup_us),
        "breaks": breaks.collect::<Vec<Value>>(), "talks": line.talks, "logins": line.logins,
    });
    for state in AgentStatus::WORDS {
        shown[format!("{state}_s")] = json!(s(line.states.get(*state).copied().unwrap_or_default()));
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::standing::{Signal, Standing, WRAPUP};
    use super::*;

    const S: i64 = 1_000_000;

    /// Walks an agent through signals, one a second, and keeps the place of each second.
    fn walk(signals: &[u8]) -> (Vec<Row>, Vec<Standing>) {
        let (mut rows, mut seconds): (Vec<Row>, Vec<Standing>) = (Vec::new(), Vec::new());
        let mut standing = Standing::new(AgentStatus::Offline, 0);
        for (n, signal) in signals.iter().enumerate() {
            let at_us = i64::try_from(n).unwrap() * S;
            let choice = AgentStatus::parse(AgentStatus::WORDS[usize::from(signal % 6)]).unwrap();
            // Whoever is late ends a rest as late as told; here everybody is in time.
            let before = standing.next(Signal::TimeIsUp, at_us);
            let next = match signal / 6 {
                0 => before.next(Signal::Choose(choice, if signal % 2 == 0 { "tea" } else { "" }), at_us),
                1 => before.next(Signal::Talk("c"), at_us),
                2 => before.next(Signal::HangUp(i64::from(signal % 3)), at_us),
                3 => before.next(Signal::Extend(1), at_us),
                _ => before,
            };
            let key = |one: &Standing| (one.state(), one.reason().to_owned(), one.phase, one.call.clone());
            if rows.is_empty() || key(&next) != key(&standing) {
                if let Some(last) = rows.last_mut() {
                    last.until = Some(at_us);
                }
                let was_off = rows.last().is_none_or(|row: &Row| row.state == "offline");
                rows.push(Row {
                    user_id: "ann".into(),
                    agent_id: "a".into(),
                    state: next.state().as_str().into(),
                    reason: next.reason().into(),
                    phase: next.phase.as_str().into(),
                    is_login: was_off && next.state() != AgentStatus::Offline,
                    since: at_us,
                    until: None,
                });
            }
            seconds.push(next.clone());
            standing = next;
        }
        (rows, seconds)
    }

    proptest! {
        /// Whatever happens, and whatever is asked for: the report is what a count second by second gives.
        #[test]
        fn a_report_is_a_fold_of_the_log(signals in prop::collection::vec(0_u8..30, 1..200), from in 0_i64..200, long in 1_i64..200) {
            let (rows, seconds) = walk(&signals);
            let now = i64::try_from(signals.len()).unwrap();
            let (from, to) = (from, from + long);
            let report = fold(&rows, (from * S, to * S), now * S);
            let line = report.get("ann").cloned().unwrap_or_default();
            let asked: Vec<&Standing> = (from..to.min(now)).map(|n| &seconds[usize::try_from(n).unwrap()]).collect();
            let count = |is: &dyn Fn(&Standing) -> bool| i64::try_from(asked.iter().filter(|one| is(one)).count()).unwrap() * S;
            for word in AgentStatus::WORDS {
                let us = line.states.get(*word).copied().unwrap_or_default();
                prop_assert_eq!(us, count(&|one| one.state().as_str() == *word), "{}", word);
            }
            prop_assert_eq!(line.wrapup_us, count(&|one| one.phase == AgentPhase::Wrapup));
            prop_assert_eq!(line.wrapup_us, count(&|one| one.reason() == WRAPUP));
            prop_assert_eq!(line.talking_us, count(&|one| one.phase == AgentPhase::Talking));
            prop_assert_eq!(line.breaks.values().sum::<i64>(), count(&|one| one.state() == AgentStatus::Break));
            prop_assert_eq!(line.breaks.get("tea").copied().unwrap_or_default(),
                count(&|one| one.state() == AgentStatus::Break && one.reason() == "tea"));
            prop_assert_eq!(line.states.values().sum::<i64>(), (to.min(now) - from).max(0) * S);
            let off = |n: i64| n < 0 || seconds[usize::try_from(n).unwrap()].state() == AgentStatus::Offline;
            let logins = (from..to.min(now)).filter(|n| off(n - 1) && !off(*n)).count();
            prop_assert_eq!(line.logins, i64::try_from(logins).unwrap());
        }
    }

    #[test]
    fn too_many_reasons_are_one() {
        let rows: Vec<Row> = (0..limits::REPORT_REASONS + 5)
            .map(|n| Row {
                user_id: "ann".into(),
                agent_id: "a".into(),
                state: "break".into(),
                reason: format!("r{n}"),
                phase: "free".into(),
                is_login: false,
                since: 0,
                until: Some(S),
            })
            .collect();
        let line = fold(&rows, (0, S), S).remove("ann").unwrap();
        assert_eq!((line.breaks.len(), line.breaks[""]), (limits::REPORT_REASONS + 1, 5 * S));
    }
}
