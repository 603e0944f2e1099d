//! Asterisk's `queue_log`: one row for everything that happens in a queue, as `app_queue` of Asterisk 22 writes it. Pure.

use chrono::NaiveDateTime;
use serde::{Deserialize, Serialize};

use crate::base::ids::{TenantId, split_global_name};
use crate::config::limits::queues as limits;

/// A row. Rows are ordered by time first.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Row {
    /// When it happened, microseconds since 1970 UTC.
    pub at_us: i64,
    /// The caller's uniqueid; empty: it is about no call.
    pub call: String,
    /// The queue's name within the tenant; empty: it is about all of them.
    pub queue: String,
    /// The member's endpoint within the tenant; empty: it is about nobody.
    pub agent: String,
    /// What happened, in Asterisk's word.
    pub event: String,
    /// `data1` to `data5`.
    pub data: [String; 5],
}

/// What a row tells. Seconds are whole, as Asterisk counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event<'r> {
    /// A caller entered.
    Entered {
        /// The caller's number; empty: withheld.
        number: &'r str,
        /// The place in the line, from 1.
        position: i64,
    },
    /// A member answered.
    Connected {
        /// Seconds the caller had waited.
        hold_s: i64,
        /// Seconds it had rung.
        ring_s: i64,
    },
    /// Both have talked, and one hung up.
    Completed {
        /// Whether that was the member.
        by_agent: bool,
        /// Seconds the caller had waited.
        hold_s: i64,
        /// Seconds they talked.
        talk_s: i64,
    },
    /// The caller was handed on while talking.
    Transferred {
        /// Whether without a word before.
        blind: bool,
        /// Seconds the caller had waited.
        hold_s: i64,
        /// Seconds they talked.
        talk_s: i64,
    },
    /// The caller hung up.
    Abandoned {
        /// Seconds the caller had waited.
        wait_s: i64,
    },
    /// The caller had waited as long as one may.
    TimedOut {
        /// Seconds the caller had waited.
        wait_s: i64,
    },
    /// The caller left by a key.
    LeftByKey {
        /// The key.
        key: &'r str,
        /// Seconds the caller had waited.
        wait_s: i64,
    },
    /// Nobody was left to answer.
    LeftEmpty {
        /// Seconds the caller had waited.
        wait_s: i64,
    },
    /// A member did not answer.
    RingNoAnswer {
        /// Milliseconds it rang.
        ring_ms: i64,
    },
    /// The caller left, or another answered, while a member's phone rang.
    RingCanceled {
        /// Milliseconds it rang.
        ring_ms: i64,
    },
    /// A member was paused in one queue.
    Paused {
        /// Why; empty: nobody said.
        reason: &'r str,
    },
    /// A member's pause in one queue is over.
    Unpaused {
        /// Why; empty: nobody said.
        reason: &'r str,
    },
    /// A member was paused in all queues.
    PausedAll {
        /// Why; empty: nobody said.
        reason: &'r str,
    },
    /// A member's pause in all queues is over.
    UnpausedAll {
        /// Why; empty: nobody said.
        reason: &'r str,
    },
    /// An endpoint became a member.
    MemberAdded,
    /// An endpoint is no member any more.
    MemberRemoved,
    /// Something else, which is kept and not understood.
    Other,
}

impl Row {
    /// What it tells.
    pub fn told(&self) -> Event<'_> {
        let [one, two, three, four, five] = &self.data;
        match self.event.as_str() {
            "ENTERQUEUE" => Event::Entered { number: two, position: number(three) },
            "CONNECT" => Event::Connected { hold_s: number(one), ring_s: number(three) },
            "COMPLETEAGENT" | "COMPLETECALLER" => Event::Completed {
                by_agent: self.event == "COMPLETEAGENT",
                hold_s: number(one),
                talk_s: number(two),
            },
            // To extension and context.
            "BLINDTRANSFER" => {
                Event::Transferred { blind: true, hold_s: number(three), talk_s: number(four) }
            }
            // How, to what, and with LINK to what else; then the times. What does not fit stays in the last
            // (asterisk/asterisk#859).
            "ATTENDEDTRANSFER" => {
                let (hold, talk) = if one == "LINK" { (four, five) } else { (three, four) };
                let talk = talk.split('|').next().unwrap_or_default();
                Event::Transferred { blind: false, hold_s: number(hold), talk_s: number(talk) }
            }
            // Where the caller stood, where in the beginning, how long.
            "ABANDON" => Event::Abandoned { wait_s: number(three) },
            "EXITWITHTIMEOUT" => Event::TimedOut { wait_s: number(three) },
            "EXITEMPTY" => Event::LeftEmpty { wait_s: number(three) },
            "EXITWITHKEY" => Event::LeftByKey { key: one, wait_s: number(four) },
            "RINGNOANSWER" => Event::RingNoAnswer { ring_ms: number(one) },
            "RINGCANCELED" => Event::RingCanceled { ring_ms: number(one) },
            "PAUSE" => Event::Paused { reason: one },
            "UNPAUSE" => Event::Unpaused { reason: one },
            "PAUSEALL" => Event::PausedAll { reason: one },
            "UNPAUSEALL" => Event::UnpausedAll { reason: one },
            "ADDMEMBER" => Event::MemberAdded,
            "REMOVEMEMBER" => Event::MemberRemoved,
            _ => Event::Other,
        }
    }
}

fn number(text: &str) -> i64 {
    text.trim().parse::<i64>().unwrap_or(0).clamp(0, i64::from(u32::MAX))
}

/// Why a row can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowError {
    /// Its time is none.
    #[error("{0:?} is no time of queue_log; it looks like 2026-11-22 11:21:37.537288")]
    Time(String),
    /// It does not say what happened.
    #[error("a row of queue_log without an event")]
    Event,
}

/// Whether a row of this `callid` is about what Asterisk has just read here: `ADDMEMBER`, one for every member of a queue that it
/// loads, before the queue's first caller is in.
pub fn is_own(callid: &str) -> bool {
    callid == "REALTIME"
}

/// Reads a row's columns as Asterisk sends them. `None`: there is nothing to keep, because it is about nobody's queue, such as
/// `QUEUESTART`, or is our own.
///
/// # Errors
/// When its time is none, or the event is missing.
pub fn read(columns: &[(String, String)]) -> Result<Option<(TenantId, Row)>, RowError> {
    let column = |name: &str| {
        let value = columns.iter().find(|(column, _)| column == name).map_or("", |(_, value)| value.as_str());
        if value == "NONE" { "" } else { value }
    };
    let time: String = column("time").chars().take(limits::LOG_TIME_BYTES).collect();
    let at =
        NaiveDateTime::parse_from_str(&time, "%Y-%m-%d %H:%M:%S%.f").map_err(|_| RowError::Time(time))?;
    let event = cut(column("event"), limits::LOG_EVENT_CHARACTERS);
    if event.is_empty() {
        return Err(RowError::Event);
    }
    if is_own(column("callid")) {
        return Ok(None);
    }
    let agent = column("agent");
    let endpoint = agent.strip_prefix("PJSIP/").unwrap_or(agent);
    let (tenant, queue) = match column("queuename") {
        // PAUSEALL names no queue; the member says whose it is.
        "" => match split_global_name(endpoint) {
            Ok((tenant, _)) => (tenant, String::new()),
            Err(_) => return Ok(None),
        },
        queue => match split_global_name(queue) {
            Ok((tenant, name)) => (tenant, name.to_string()),
            Err(_) => return Ok(None),
        },
    };
    let row = Row {
        at_us: at.and_utc().timestamp_micros(),
        call: match column("callid") {
            // Where a manager does it.
            "MANAGER" => String::new(),
            call => cut(call, limits::LOG_CALL_CHARACTERS),
        },
        queue,
        agent: local(&tenant, endpoint),
        event,
        data: data(columns).map(|value| cut(value, limits::LOG_DATA_CHARACTERS)),
    };
    Ok(Some((tenant, row)))
}

/// `data1` to `data5`, or their parts of `data`: whether the log has the five columns or the one was asked before.
fn data(columns: &[(String, String)]) -> [&str; 5] {
    let column =
        |name: &str| columns.iter().find(|(column, _)| column == name).map(|(_, value)| value.as_str());
    match column("data") {
        Some(data) => {
            let mut parts = data.splitn(5, '|');
            [(); 5].map(|()| parts.next().unwrap_or_default())
        }
        None => ["data1", "data2", "data3", "data4", "data5"].map(|name| column(name).unwrap_or_default()),
    }
}

/// An endpoint's name within its tenant; what is no endpoint of the tenant's stays as it is.
fn local(tenant: &TenantId, agent: &str) -> String {
    match split_global_name(agent) {
        Ok((owner, name)) if owner == *tenant => name.to_string(),
        _ => cut(agent, limits::LOG_AGENT_CHARACTERS),
    }
}

/// Text without control characters, cut; trailing spaces go, which MariaDB's keys do not tell apart.
fn cut(text: &str, characters: usize) -> String {
    let kept: String = text.chars().filter(|c| !c.is_control()).take(characters).collect();
    kept.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As Asterisk's form says it.
    fn columns(form: &str) -> Vec<(String, String)> {
        url::form_urlencoded::parse(form.as_bytes()).into_owned().collect()
    }

    fn row(event: &str, data: [&str; 5]) -> Row {
        let data = data.map(str::to_owned);
        Row {
            at_us: 1,
            call: "1.2".into(),
            queue: "support".into(),
            agent: "101".into(),
            event: event.into(),
            data,
        }
    }

    /// Recorded from Asterisk 22.
    #[test]
    fn rows_are_read_as_asterisk_sends_them() {
        let entered = "time=2026-11-22%2011%3A21%3A37.537288&data5=&data4=&data3=1&data2=5551000&data1=&event=ENTERQUEUE&\
                       agent=NONE&queuename=acme-support&callid=labpbx-1795346497.33";
        let (tenant, row) = read(&columns(entered)).unwrap().unwrap();
        assert_eq!((tenant.as_str(), row.queue.as_str(), row.agent.as_str()), ("acme", "support", ""));
        assert_eq!((row.at_us, row.call.as_str()), (1_795_346_497_537_288, "labpbx-1795346497.33"));
        assert_eq!(row.told(), Event::Entered { number: "5551000", position: 1 });
        let joined = entered.replace("data5=&data4=&data3=1&data2=5551000&data1=", "data=%7C5551000%7C1");
        assert_eq!(read(&columns(&joined)), Ok(Some((tenant, row))), "told in one column");
        let long = read(&columns(&joined.replace("%7C1&", "%7C1%7C4%7C5%7C6&"))).unwrap().unwrap().1;
        assert_eq!(long.data, ["", "5551000", "1", "4", "5|6"]);
        let added = "time=2026-11-22%2011%3A21%3A37.445230&data5=&data4=&data3=&data2=&data1=&event=ADDMEMBER&\
                     agent=PJSIP%2Facme-101&queuename=acme-support&callid=REALTIME";
        assert_eq!(read(&columns(added)), Ok(None), "members are known here");
        let (_, row) = read(&columns(&added.replace("REALTIME", "MANAGER"))).unwrap().unwrap();
        assert_eq!((row.call.as_str(), row.agent.as_str(), row.told()), ("", "101", Event::MemberAdded));
        let started = "time=2026-11-22%2011%3A21%3A35.179172&data1=&event=QUEUESTART&agent=NONE&queuename=NONE&callid=NONE";
        assert_eq!(read(&columns(started)), Ok(None));
        let all = "time=2026-11-22%2011%3A21%3A35&event=PAUSEALL&agent=PJSIP%2Facme-101&queuename=NONE&callid=NONE&data1=tea";
        let (tenant, row) = read(&columns(all)).unwrap().unwrap();
        assert_eq!((tenant.as_str(), row.queue.as_str(), row.agent.as_str()), ("acme", "", "101"));
        assert_eq!(row.told(), Event::PausedAll { reason: "tea" });
        let strange =
            "time=2026-11-22%2011%3A21%3A35&event=CONNECT&agent=Agent+101&queuename=acme-support&callid=1";
        assert_eq!(read(&columns(strange)).unwrap().unwrap().1.agent, "Agent 101");
        let foreign =
            "time=2026-11-22%2011%3A21%3A35&event=CONNECT&agent=globex-101&queuename=acme-support&callid=1";
        assert_eq!(read(&columns(foreign)).unwrap().unwrap().1.agent, "globex-101");
        read(&columns("time=yesterday&event=CONNECT&queuename=acme-support")).unwrap_err();
        read(&columns("time=2026-11-22%2011%3A21%3A35&queuename=acme-support")).unwrap_err();
    }

    #[test]
    fn every_event_has_its_numbers() {
        for (event, data, told) in [
            ("CONNECT", ["7", "1.3", "2", "", ""], Event::Connected { hold_s: 7, ring_s: 2 }),
            (
                "COMPLETEAGENT",
                ["7", "60", "1", "", ""],
                Event::Completed { by_agent: true, hold_s: 7, talk_s: 60 },
            ),
            (
                "COMPLETECALLER",
                ["7", "60", "1", "", ""],
                Event::Completed { by_agent: false, hold_s: 7, talk_s: 60 },
            ),
            ("ABANDON", ["1", "3", "9", "", ""], Event::Abandoned { wait_s: 9 }),
            ("EXITWITHTIMEOUT", ["1", "3", "9", "", ""], Event::TimedOut { wait_s: 9 }),
            ("EXITEMPTY", ["1", "3", "9", "", ""], Event::LeftEmpty { wait_s: 9 }),
            ("EXITWITHKEY", ["5", "1", "3", "9", ""], Event::LeftByKey { key: "5", wait_s: 9 }),
            ("RINGNOANSWER", ["15000", "", "", "", ""], Event::RingNoAnswer { ring_ms: 15_000 }),
            ("RINGCANCELED", ["300", "", "", "", ""], Event::RingCanceled { ring_ms: 300 }),
            (
                "BLINDTRANSFER",
                ["102", "inside", "7", "60", "1"],
                Event::Transferred { blind: true, hold_s: 7, talk_s: 60 },
            ),
            (
                "ATTENDEDTRANSFER",
                ["BRIDGE", "b1", "7", "60", "1"],
                Event::Transferred { blind: false, hold_s: 7, talk_s: 60 },
            ),
            // asterisk/asterisk#859: what has no column of its own is behind a bar in the last.
            (
                "ATTENDEDTRANSFER",
                ["LINK", "b1", "b2", "7", "60|1"],
                Event::Transferred { blind: false, hold_s: 7, talk_s: 60 },
            ),
            ("PAUSE", ["tea", "", "", "", ""], Event::Paused { reason: "tea" }),
            ("UNPAUSEALL", [""; 5], Event::UnpausedAll { reason: "" }),
            ("REMOVEMEMBER", [""; 5], Event::MemberRemoved),
            ("PENALTY", ["3", "", "", "", ""], Event::Other),
            ("CONNECT", ["-4", "x", "many", "", ""], Event::Connected { hold_s: 0, ring_s: 0 }),
        ] {
            assert_eq!(row(event, data).told(), told, "{event}");
        }
    }
}
