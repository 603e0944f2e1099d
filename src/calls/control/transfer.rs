//! A call is handed to somebody: at once, or after that one was asked. Conferences are made the same way.

use super::commands::Which;
use super::invite::Invite;
use super::parties::{self, End, Pair, Role, parties};
use super::{Control, MOVED, MOVED_BY, Refusal};
use crate::ari::Request;
use crate::base::ids::{Name, global_name};
use crate::calls::happened;
use crate::calls::table::{Leg, Place};
use crate::config::limits::live as limits;

/// How far an attended transfer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The other side holds; who is asked is being called.
    Asking,
    /// The call is handed over.
    Complete,
    /// It is as before.
    Cancelled,
}

impl Control {
    /// Sends the other side to a number or extension, by the rules of the endpoint that hands it on; that one is free.
    ///
    /// # Errors
    /// When the call is not alive or nobody talks, the number leads nowhere, or Asterisk does not do it.
    pub async fn transfer(&self, of: Which<'_>, near: Option<&[Name]>, to: &str) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        self.nobody_waits(of)?;
        let by = by(&self.pair(of, near)?)?;
        self.may(of.0, &by, to).await?;
        let pair = self.take(of, near).await?;
        self.adopt(of, &pair).await?;
        self.set(&pair.asterisk, &pair.far.id, MOVED_BY, &global_name(of.0, &by)).await?;
        self.put(&pair.asterisk, &pair.far.id, Place::Dialplan).await?;
        let request = Request::post("channels").part(&pair.far.id).part("continue");
        let request = request.with("context", MOVED).with("extension", to).with("priority", 1);
        self.ask(&pair.asterisk, request).await?;
        self.hang_up_leg(&pair.asterisk, &pair.near.id).await?;
        self.tell_transfer(of, &pair.near, to, false).await;
        Ok(())
    }

    async fn tell_transfer(&self, of: Which<'_>, near: &End, to: &str, attended: bool) {
        let by = (near.endpoint.as_ref(), near.name.as_str());
        self.write_down(happened::transferred(of, by, (to, attended), self.clock.now_us())).await;
    }

    /// The other side hears music while somebody is called, whom the side that acts then talks to. Asked again for the same one,
    /// nothing happens.
    ///
    /// # Errors
    /// As [`Control::transfer`]; when somebody else is being asked.
    pub async fn ask_first(&self, of: Which<'_>, near: Option<&[Name]>, to: &str) -> Result<Step, Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let channel = Role::Asked.channel(of.1, to);
        if self.see(of, |call| Ok(call.legs.iter().any(|leg| leg.id == channel)))? {
            return Ok(Step::Asking);
        }
        self.nobody_waits(of)?;
        let by = by(&self.pair(of, near)?)?;
        self.may(of.0, &by, to).await?;
        let pair = self.take(of, near).await?;
        // Hanging up hands the call over too: then there is no time for it.
        self.adopt(of, &pair).await?;
        let bridge = self.bridge_of(of)?;
        self.apart(&pair.asterisk, &bridge, &pair.far.id, Place::Waits).await?;
        if let Err(refusal) = self.call_in(of, &pair.asterisk, &pair.near, to, Role::Asked).await {
            self.join(&pair.asterisk, &bridge, &pair.far.id, Place::Talk).await?;
            return Err(refusal);
        }
        Ok(Step::Asking)
    }

    /// Hands the call to whom was asked.
    ///
    /// # Errors
    /// When nobody was asked, or has not answered, or nobody waits any more.
    pub async fn complete(&self, of: Which<'_>) -> Result<Step, Refusal> {
        let here = self.enter(of).await?;
        let (of, asterisk) = ((of.0, &here.id), &here.asterisk);
        let asked = self.legs_of(of, |leg| leg.ours && leg.place == Place::Asked && leg.bridge.is_some())?;
        let held = self.legs_of(of, |leg| matches!(leg.place, Place::Waits | Place::Held))?;
        let talk = self.legs_of(of, |leg| leg.ours && leg.place == Place::Talk && leg.bridge.is_some())?;
        let [asked] = asked.as_slice() else {
            return Err(Refusal::State("nobody was asked who has answered"));
        };
        let (Some(near), Some(far)) = (talk.first(), held.first()) else {
            return Err(Refusal::State("nobody waits for who was asked"));
        };
        let bridge = self.bridge_of(of)?;
        let (pair, to) = self.see(of, |call| {
            let leg = |id: &String| call.legs.iter().find(|leg| leg.id == *id).copied().ok_or(Refusal::Gone);
            let pair = parties::of_two(call, parties::end(call, leg(near)?), parties::end(call, leg(far)?))?;
            Ok((pair, leg(asked)?.party.0.clone()))
        })?;
        self.adopt(of, &pair).await?;
        for leg in &held {
            self.join(asterisk, &bridge, leg, Place::Talk).await?;
        }
        self.put(asterisk, asked, Place::Talk).await?;
        for leg in &talk {
            self.hang_up_leg(asterisk, leg).await?;
        }
        self.tell_transfer(of, &pair.near, &to, true).await;
        Ok(Step::Complete)
    }

    /// Lets go of who is asked; the other side is back.
    ///
    /// # Errors
    /// When Asterisk does not do it.
    pub async fn cancel(&self, of: Which<'_>) -> Result<Step, Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let bridge = self.bridge_of(of)?;
        let asked = self.legs_of(of, |leg| leg.place == Place::Asked && !parties::is_second(leg))?;
        self.let_go(&here.asterisk, &asked).await?;
        for leg in self.legs_of(of, |leg| leg.place == Place::Waits)? {
            self.join(&here.asterisk, &bridge, &leg, Place::Talk).await?;
        }
        Ok(Step::Cancelled)
    }

    /// Calls somebody into the talk. Asked again for the same one, nothing happens.
    ///
    /// # Errors
    /// As [`Control::transfer`]; when enough talk already, or somebody is being asked.
    pub async fn confer(&self, of: Which<'_>, near: Option<&[Name]>, to: &str) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let channel = Role::Talk.channel(of.1, to);
        if self.see(of, |call| Ok(call.legs.iter().any(|leg| leg.id == channel)))? {
            return Ok(());
        }
        self.nobody_waits(of)?;
        if self.legs_of(of, |leg| leg.place == Place::Talk)?.len() >= limits::CONFERENCE {
            return Err(Refusal::State("the conference is full"));
        }
        // The third and later ones are called by whoever acts, as far as that is one of those who talk.
        let (near, is_two) = self.see(of, |call| {
            let mut all = parties(call);
            let acts = parties::acting(call, &all, near)?;
            Ok((all.swap_remove(acts), all.len() == 1))
        })?;
        let by = near.endpoint.clone().ok_or(NOBODY)?;
        self.may(of.0, &by, to).await?;
        if is_two {
            self.take(of, Some(&[by])).await?;
        }
        self.call_in(of, &here.asterisk, &near, to, Role::Talk).await
    }

    /// Calls a number by the rules of the endpoint that acts.
    async fn call_in(
        &self,
        of: Which<'_>,
        asterisk: &str,
        near: &End,
        to: &str,
        role: Role,
    ) -> Result<(), Refusal> {
        let by = near.endpoint.as_ref().ok_or(NOBODY)?;
        let invite = Invite {
            role,
            whom: to,
            at: format!("Local/{to}@{MOVED}/n"),
            args: role.as_str().to_owned(),
            place: if role == Role::Asked { Place::Asked } else { Place::Talk },
            shows: by.as_str(),
            beside: &near.id,
            by: Some(global_name(of.0, by)),
        };
        self.invite(of, asterisk, invite).await
    }

    pub(super) fn legs_of(&self, of: Which<'_>, is: impl Fn(&Leg) -> bool) -> Result<Vec<String>, Refusal> {
        self.see(of, |call| Ok(call.legs.iter().filter(|leg| is(leg)).map(|leg| leg.id.clone()).collect()))
    }
}

const NOBODY: Refusal = Refusal::State("none of the tenant's endpoints talks");

fn by(pair: &Pair) -> Result<Name, Refusal> {
    pair.near.endpoint.clone().ok_or(NOBODY)
}
