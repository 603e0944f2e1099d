//! Phones and numbers that a command calls into a call. The channel's id says what for, so that nobody is called twice, and what
//! it is to be stands on it from the start ([`Place`]): whoever finds it ringing knows what it is there for.

use serde_json::json;

use super::parties::Role;
use super::{Control, MOVED_BY, Refusal, Which, done};
use crate::ari::Request;
use crate::calls::table::{Place, Table, variables};
use crate::config::limits::live as limits;

/// Who is called into a call.
pub(super) struct Invite<'a> {
    /// What for.
    pub(super) role: Role,
    /// The number, or the endpoint.
    pub(super) whom: &'a str,
    /// Its address in Asterisk.
    pub(super) at: String,
    /// What it comes to us with, behind `join` and the call.
    pub(super) args: String,
    /// What it will be.
    pub(super) place: Place,
    /// The number that it is shown.
    pub(super) shows: &'a str,
    /// The channel on whose behalf it is called.
    pub(super) beside: &'a str,
    /// By whose rules a number is called: a global name.
    pub(super) by: Option<String>,
}

impl Control {
    /// Calls somebody into a call, unless that one is called already.
    pub(super) async fn invite(
        &self,
        of: Which<'_>,
        asterisk: &str,
        invite: Invite<'_>,
    ) -> Result<(), Refusal> {
        let channel = invite.role.channel(of.1, invite.whom);
        if self.board.table().leg(&channel).is_some() {
            return Ok(());
        }
        let mut told = json!({ variables::PLACE: invite.place.to_text() });
        if let Some(by) = invite.by {
            told[MOVED_BY] = by.into();
        }
        let asterisk = self.asterisk(asterisk)?;
        let request = Request::post("channels")
            .with("endpoint", invite.at)
            .with("app", asterisk.app())
            .with("appArgs", format!("join,{},{}", of.1, invite.args))
            .with("callerId", format!("{0} <{0}>", invite.shows))
            .with("timeout", limits::RING_S)
            .with("originator", invite.beside)
            .with("channelId", &channel)
            .json(json!({ "variables": told }));
        // It is in the table before anybody else looks at the call, and may be gone again before Asterisk answers.
        let seen = self.board.until(|table| table.leg(&channel).map(drop));
        let asked = asterisk.ask(request);
        tokio::pin!(seen, asked);
        let (mut is_seen, mut is_other) = (false, false);
        let answer = loop {
            tokio::select! {
                answer = &mut asked => break answer?,
                _ = &mut seen, if !is_seen => is_seen = true,
            }
        };
        match answer.status {
            // It is there, and we have not heard of it yet.
            409 => is_other = true,
            _ => match done(answer) {
                Ok(_) => {}
                // Asterisk says no more than that it could not make the channel.
                Err(Refusal::Pbx(_)) => return Err(Refusal::Target("endpoint-unavailable".into())),
                Err(other) => return Err(other),
            },
        }
        if !is_seen && seen.await.is_none() && is_other {
            return Err(Refusal::State("a phone that was called for it before does not go away"));
        }
        self.board.table().place(&channel, invite.place);
        Ok(())
    }

    /// Ends channels that were called for a command, and waits until they are gone: they may be called again then.
    pub(super) async fn let_go(&self, asterisk: &str, legs: &[String]) -> Result<(), Refusal> {
        for leg in legs {
            self.hang_up_leg(asterisk, leg).await?;
        }
        // The other half of a pair is there a moment longer, and keeps the name.
        let is_gone = |table: &Table, leg: &String| {
            table.leg(leg).is_none() && table.leg(&format!("{leg};2")).is_none()
        };
        let gone = self.board.until(|table| legs.iter().all(|leg| is_gone(table, leg)).then_some(()));
        gone.await.ok_or(Refusal::State("a phone that was called for it does not go away"))
    }
}
