//! A phone is called into a call: to listen, to whisper, to barge in, to take the place of who talks, or to take a parked
//! caller. What it is called for stands in what it comes to us with, so that it outlives this process.

use super::commands::Which;
use super::invite::Invite;
use super::parties::{End, Role, end, pair, parties};
use super::{Control, Refusal};
use crate::ari::Request;
use crate::base::ids::{Id, Name, global_name};
use crate::calls::table::{Kind, Leg, Mode, Place};

/// The bridge of one who listens.
pub(super) fn bridge_of(phone: &str) -> String {
    format!("hs-monitor-{phone}")
}

impl Control {
    /// Calls a phone from which the call is heard. Asked again for the same phone, it only changes how much that one may say.
    ///
    /// # Errors
    /// When the call is not alive or nobody talks, or Asterisk does not do it.
    pub async fn monitor(
        &self,
        of: Which<'_>,
        near: Option<&[Name]>,
        phone: &Name,
        mode: Mode,
    ) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let asterisk = &here.asterisk;
        let there = self.see(of, |call| {
            let mut own = call.legs.iter().filter(|leg| is_monitor(leg, of, phone));
            Ok(own.next().map(|leg| (leg.id.clone(), leg.ours, leg.place == Place::Monitor(mode))))
        })?;
        let target = self.see(of, |call| match near {
            Some(_) => Ok(pair(call, near)?.near),
            None => {
                let mut ends = call.endpoints().filter(|(leg, name)| {
                    leg.state == "Up" && *name != phone && !matches!(leg.place, Place::Monitor(_))
                });
                let target = ends.next().map(|(leg, _)| end(call, leg));
                target.ok_or(Refusal::State("none of the tenant's endpoints talks"))
            }
        })?;
        match there {
            Some((leg, true, _)) => return self.listen(of.1, asterisk, &leg, &target.id, mode).await,
            Some((_, false, true)) => return Ok(()),
            // It rings for something else.
            Some((leg, false, false)) => self.let_go(asterisk, &[leg]).await?,
            None => {}
        }
        let args = format!("{},{}", mode.as_str(), target.id);
        self.ring(of, asterisk, (phone, &target), (Role::Monitor, args, Place::Monitor(mode))).await
    }

    /// Ends the listening of a phone.
    ///
    /// # Errors
    /// When the call is not alive, or Asterisk does not do it.
    pub async fn stop_monitor(&self, of: Which<'_>, phone: &Name) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let own = self.legs_of(of, |leg| is_monitor(leg, of, phone))?;
        self.let_go(&here.asterisk, &own).await
    }

    /// Calls a phone that then takes the place of who talks.
    ///
    /// # Errors
    /// As [`Control::monitor`].
    pub async fn take_over(&self, of: Which<'_>, near: Option<&[Name]>, phone: &Name) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        if self.talks(of, phone)? {
            return Ok(());
        }
        let near = self.pair(of, near)?.near;
        let args = format!("{},{}", Role::Over.as_str(), near.id);
        self.ring(of, &here.asterisk, (phone, &near), (Role::Over, args, Place::Talk)).await
    }

    /// Calls a phone that then talks to a parked caller.
    ///
    /// # Errors
    /// When the call is not parked, or Asterisk does not do it.
    pub async fn pick_up(&self, of: Which<'_>, phone: &Name) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let parked = self.see(of, |call| {
            let parked = call.legs.iter().find(|leg| leg.slot().is_some());
            Ok(parked.map(|leg| end(call, leg)))
        })?;
        let Some(parked) = parked else {
            let is_done = self.talks(of, phone)?;
            return if is_done { Ok(()) } else { Err(Refusal::State("the call is not parked")) };
        };
        let args = Role::PickUp.as_str().to_owned();
        self.ring(of, &here.asterisk, (phone, &parked), (Role::PickUp, args, Place::Talk)).await
    }

    /// Whether a phone is one of those who talk.
    fn talks(&self, of: Which<'_>, phone: &Name) -> Result<bool, Refusal> {
        self.see(of, |call| Ok(parties(call).iter().any(|end| end.endpoint.as_ref() == Some(phone))))
    }

    async fn ring(
        &self,
        of: Which<'_>,
        asterisk: &str,
        (phone, beside): (&Name, &End),
        (role, args, place): (Role, String, Place),
    ) -> Result<(), Refusal> {
        let caller =
            self.see(of, |call| Ok(call.caller().map(|leg| leg.party.0.clone()).unwrap_or_default()))?;
        let invite = Invite {
            role,
            whom: phone.as_str(),
            at: format!("PJSIP/{}", global_name(of.0, phone)),
            args,
            place,
            shows: if caller.is_empty() { "anonymous" } else { &caller },
            beside: &beside.id,
            by: None,
        };
        self.invite(of, asterisk, invite).await
    }

    /// Lets a phone that is ours hear a channel. How much it may say can't be changed later, so whoever listened for it
    /// before goes.
    pub(super) async fn listen(
        &self,
        call: &Id,
        asterisk: &str,
        phone: &str,
        target: &str,
        mode: Mode,
    ) -> Result<(), Refusal> {
        let app = self.asterisk(asterisk)?.app().to_owned();
        let bridge = bridge_of(phone);
        self.bridge(asterisk, &bridge).await?;
        let before = self.snoops_of(phone);
        let whisper = match mode {
            Mode::Listen => "none",
            Mode::Whisper => "out",
            Mode::Barge => "both",
        };
        let snoop = format!("hs-{}", self.ids.next());
        let request = Request::post("channels").part(target).part("snoop").part(&snoop);
        let request = request.with("spy", "both").with("whisper", whisper);
        let request = request.with("app", app).with("appArgs", format!("snoop,{call},{phone}"));
        self.ask(asterisk, request).await?;
        // A phone without one that listens for it would be let go.
        self.board.until(|table| table.leg(&snoop).map(drop)).await.ok_or(Refusal::Gone)?;
        self.put(asterisk, phone, Place::Monitor(mode)).await?;
        let request = Request::post("bridges").part(&bridge).part("addChannel").with("channel", phone);
        self.ask(asterisk, request).await?;
        for snoop in before {
            self.hang_up_leg(asterisk, &snoop).await?;
        }
        Ok(())
    }

    /// Brings who listens to its phone, once it has come to us.
    pub(super) async fn snooped(&self, asterisk: &str, snoop: &str, phone: &str) -> Result<(), Refusal> {
        let request = Request::post("bridges").part(&bridge_of(phone)).part("addChannel");
        self.ask(asterisk, request.with("channel", snoop)).await.map(drop)
    }

    fn snoops_of(&self, phone: &str) -> Vec<String> {
        let table = self.board.table();
        let bridge = bridge_of(phone);
        let own =
            table.legs().filter(|leg| leg.kind == Kind::Snoop && leg.bridge.as_deref() == Some(&bridge));
        own.map(|leg| leg.id.clone()).collect()
    }

    /// A phone that was called to take a place has answered.
    pub(super) async fn replace(
        &self,
        of: Which<'_>,
        asterisk: &str,
        phone: &str,
        whom: &str,
    ) -> Result<(), Refusal> {
        let near = self.see(of, |call| {
            let whom = parties(call).into_iter().find(|end| end.id == whom).ok_or(Refusal::NotLive)?;
            whom.endpoint.ok_or(Refusal::NotLive)
        })?;
        let pair = self.take(of, Some(&[near])).await?;
        if pair.near.id != whom {
            return Err(Refusal::NotLive);
        }
        self.adopt(of, &pair).await?;
        self.join(asterisk, &self.bridge_of(of)?, phone, Place::Talk).await?;
        self.hang_up_leg(asterisk, whom).await
    }
}

fn is_monitor(leg: &Leg, of: Which<'_>, phone: &Name) -> bool {
    let is_of = leg.endpoint.as_ref().is_some_and(|(tenant, name)| tenant == of.0 && name == phone);
    is_of && matches!(leg.place, Place::Monitor(_))
}
