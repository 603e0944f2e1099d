//! The end of a call: the hang-up handler reports it. Reports that could not be delivered while we were away lie in
//! Asterisk's own database (`hookswitch/<uniqueid>`); every report picks some of them up.

use std::collections::HashMap;

use super::super::{Command, Environment};
use super::{C, SessionError, Sessions, text};
use crate::base::ids::Id;
use crate::base::metrics::Outcome;
use crate::calls::{self, Ended, Record};
use crate::config::limits::agi as limits;

/// The family in Asterisk's database that the shipped dialplan uses.
const FAMILY: &str = "hookswitch";

impl Sessions {
    pub(super) async fn ended(&self, conn: &mut C, env: &Environment) -> Result<(), SessionError> {
        let mut facts = Facts::default();
        for n in 1..=env.args() {
            facts.add(&text(env.arg(n)));
        }
        facts.add(&format!("call={}", text(env.query("call"))));
        facts.known.entry("uniqueid".into()).or_insert_with(|| text(env.get("uniqueid")));
        let mut ended = facts.into_ended("hook", self.clock.now_us());
        if ended.channel.is_empty() {
            ended.channel = text(env.get("channel"));
        }
        if self.end(ended).await? {
            conn.command(&Command::set_variable("HS_ENDED", "1")?).await?.ok()?;
        }
        // The shipped dialplan has looked already and saves us the question.
        if env.query("late") == Some(b"0") { Ok(()) } else { self.pick_up_late(conn).await }
    }

    /// Writes an end down. Returns whether it is safe.
    async fn end(&self, ended: Ended) -> Result<bool, SessionError> {
        let outcome = if ended.by == "late" { "late" } else { "hook" };
        let id = ended.id.clone();
        let record: Record = Record::Ended(ended);
        let payload = serde_json::to_vec(&record)?;
        if let Err(error) = self.journal.append(payload).await {
            tracing::error!(%error, "the end of a call can't be written down; Asterisk keeps it");
            return Ok(false);
        }
        if let Some(id) = id {
            self.router.live.remove(&id);
        }
        self.router.metrics.ended.get_or_create(&Outcome { outcome }).inc();
        Ok(true)
    }

    async fn pick_up_late(&self, conn: &mut C) -> Result<(), SessionError> {
        // Not all of them: after a long absence they are more than a line may hold.
        let most = limits::LATE_KEYS_BYTES;
        let keys = Command::get_full_variable(&format!("${{DB_KEYS({FAMILY}):0:{most}}}"), None)?;
        let Some(keys) = conn.command(&keys).await?.ok()?.into_value() else { return Ok(()) };
        let mut keys = String::from_utf8_lossy(&keys).into_owned();
        if keys.len() >= most {
            // The last one may be cut.
            keys.truncate(keys.rfind(',').unwrap_or(0));
        }
        for key in keys.split(',').map(str::trim).filter(|k| !k.is_empty()).take(limits::LATE_REPORTS) {
            if self.asked.contains(key) {
                // Its caller left, and the decision is still to be written down: an end before it would be another call's.
                continue;
            }
            let kept = conn.command(&Command::database_get(FAMILY, key)?).await?.ok()?;
            let Some(value) = kept.into_value() else { continue };
            let mut facts = Facts::default();
            for fact in String::from_utf8_lossy(&value).split(',') {
                facts.add(fact);
            }
            facts.known.entry("uniqueid".into()).or_insert_with(|| key.to_owned());
            if self.end(facts.into_ended("late", self.clock.now_us())).await? {
                conn.command(&Command::database_del(FAMILY, key)?).await?.ok()?;
            }
        }
        Ok(())
    }
}

/// `key=value` pairs as the dialplan writes them.
#[derive(Debug, Default)]
struct Facts {
    known: HashMap<String, String>,
}

impl Facts {
    fn add(&mut self, fact: &str) {
        if let Some((key, value)) = fact.split_once('=')
            && !value.is_empty()
        {
            self.known.insert(key.to_owned(), text(Some(value.as_bytes())));
        }
    }

    fn take(&mut self, key: &str) -> String {
        self.known.remove(key).unwrap_or_default()
    }

    /// Seconds with decimals as microseconds.
    fn time(&mut self, key: &str) -> Option<i64> {
        let text = self.take(key);
        let (seconds, fraction) = text.split_once('.').unwrap_or((&text, ""));
        let micros = format!("{:0<6.6}", fraction);
        Some(seconds.parse::<i64>().ok()?.checked_mul(1_000_000)? + micros.parse::<i64>().unwrap_or(0))
            .filter(|us| *us > 0)
    }

    fn into_ended(mut self, by: &str, now_us: i64) -> Ended {
        let at_us = self.time("at").unwrap_or(now_us);
        let (start, answered_us) = (self.time("start"), self.time("answer"));
        let since = |us: i64| (at_us - us).max(0) / 1_000;
        Ended {
            id: Id::parse(&self.take("call")).ok(),
            uniqueid: self.take("uniqueid"),
            linkedid: self.take("linkedid"),
            channel: self.take("channel"),
            at_us,
            by: by.to_owned(),
            cause: self.take("cause").parse().ok(),
            disposition: self.take("disposition"),
            answered_us,
            duration_ms: start.map(since),
            billed_ms: answered_us.map(since),
            answered_by: self.take("peer"),
            dial_status: self.take("dialstatus"),
            queue_status: self.take("queuestatus"),
            voicemail_status: self.take("vmstatus"),
            recorded: self.take("recorded") == "1",
            fallback: self.take("fallback"),
            did: self.take("did"),
            caller: self.take("caller"),
            talk_ms: calls::talk_ms(&self.take("talk")),
            transferred: self.take("handed") == "1",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn facts_become_an_end() {
        let mut facts = Facts::default();
        for fact in "cause=16,at=1795347424.250,start=1795347414.000,answer=1795347415.5,disposition=ANSWERED,peer=PJSIP/acme-101-1,did=+1555,fallback=,x"
            .split(',')
        {
            facts.add(fact);
        }
        let ended = facts.into_ended("hook", 7);
        assert_eq!(ended.at_us, 1_795_347_424_250_000);
        assert_eq!((ended.duration_ms, ended.billed_ms), (Some(10_250), Some(8_750)));
        assert_eq!((ended.cause, ended.id, ended.fallback.as_str()), (Some(16), None, ""));
    }

    #[test]
    fn missing_facts_are_no_facts() {
        let mut facts = Facts::default();
        facts.add("answer=");
        facts.add("at=garbage");
        let ended = facts.into_ended("late", 7);
        assert_eq!((ended.at_us, ended.answered_us, ended.duration_ms), (7, None, None));
    }
}
