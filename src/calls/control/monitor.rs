//! A phone is called into a call: to listen, to whisper, to barge in, to take the place of who talks, or to take a parked
//! caller. What it is called for stands in what it comes to us with, so that it outlives this process.

use super::commands::Which;
use super::{Control, End, Refusal, bridge_of};
use crate::ari::Request;
use crate::base::ids::{Id, Name, global_name};
use crate::calls::table::{Kind, Mode, Place};
use crate::config::limits::live as limits;

/// The bridge of one who listens.
fn monitor_bridge(phone: &str) -> String {
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
        let (asterisk, linkedid) = self.place(of)?;
        let _alone = self.alone(&linkedid).await;
        let there = self.see(of, |call| {
            let mut legs = call.legs.iter();
            let own = legs.find(|leg| {
                matches!(leg.place, Place::Monitor(_))
                    && leg.endpoint.as_ref().is_some_and(|(_, name)| name == phone)
            });
            Ok(own.map(|leg| leg.id.clone()))
        })?;
        let target = match near {
            Some(_) => self.pair(of, near)?.near,
            None => self.see(of, |call| {
                let mut ends = call.endpoints().filter(|(leg, name)| {
                    leg.state == "Up" && *name != phone && !matches!(leg.place, Place::Monitor(_))
                });
                let end = ends.next().map(|(leg, _)| End::of(leg));
                end.ok_or(Refusal::State("none of the tenant's endpoints talks"))
            })?,
        };
        match there {
            Some(leg) => self.listen(of.1, &asterisk, &leg, &target.id, mode).await,
            None => {
                let role = format!("{},{}", mode.as_str(), target.id);
                self.ring(of, &asterisk, (phone, &target), &role).await
            }
        }
    }

    /// Ends the listening of a phone.
    ///
    /// # Errors
    /// When the call is not alive, or Asterisk does not do it.
    pub async fn stop_monitor(&self, of: Which<'_>, phone: &Name) -> Result<(), Refusal> {
        let (asterisk, linkedid) = self.place(of)?;
        let _alone = self.alone(&linkedid).await;
        let own = self.see(of, |call| {
            let own = call.endpoints().filter(|(leg, name)| {
                let listens = matches!(leg.place, Place::Monitor(_))
                    || (leg.id.starts_with("hs-") && leg.state != "Up");
                listens && *name == phone
            });
            Ok(own.map(|(leg, _)| leg.id.clone()).collect::<Vec<_>>())
        })?;
        for leg in own {
            self.hang_up_leg(&asterisk, &leg).await?;
        }
        Ok(())
    }

    /// Calls a phone that then takes the place of who talks.
    ///
    /// # Errors
    /// As [`Control::monitor`].
    pub async fn take_over(&self, of: Which<'_>, near: Option<&[Name]>, phone: &Name) -> Result<(), Refusal> {
        let (asterisk, linkedid) = self.place(of)?;
        let _alone = self.alone(&linkedid).await;
        let pair = self.pair(of, near)?;
        if pair.near.endpoint.as_ref().is_some_and(|(_, name)| name == phone) {
            return Ok(());
        }
        self.ring(of, &asterisk, (phone, &pair.near), &format!("over,{}", pair.near.id)).await
    }

    /// Calls a phone that then talks to a parked caller.
    ///
    /// # Errors
    /// When the call is not parked, or Asterisk does not do it.
    pub async fn pick_up(&self, of: Which<'_>, phone: &Name) -> Result<(), Refusal> {
        let (asterisk, linkedid) = self.place(of)?;
        let _alone = self.alone(&linkedid).await;
        let parked = self.see(of, |call| {
            let mut parked = call.legs.iter().filter(|leg| matches!(leg.place, Place::Parked(_)));
            parked.next().map(|leg| End::of(leg)).ok_or(Refusal::State("the call is not parked"))
        })?;
        self.ring(of, &asterisk, (phone, &parked), "talk").await
    }

    async fn ring(
        &self,
        of: Which<'_>,
        asterisk: &str,
        (phone, beside): (&Name, &End),
        role: &str,
    ) -> Result<(), Refusal> {
        let app = self.asterisk(asterisk)?.app().to_owned();
        let caller =
            self.see(of, |call| Ok(call.caller().map(|leg| leg.party.clone()).unwrap_or_default()))?;
        let shown = if caller.0.is_empty() { "anonymous".to_owned() } else { caller.0 };
        let request = Request::post("channels")
            .with("endpoint", format!("PJSIP/{}", global_name(of.0, phone)))
            .with("app", app)
            .with("appArgs", format!("join,{},{role}", of.1))
            .with("callerId", format!("{shown} <{shown}>"))
            .with("timeout", limits::RING_S)
            .with("originator", &beside.id)
            .with("channelId", format!("hs-{}", self.ids.next()));
        match self.ask(asterisk, request).await {
            // Asterisk says no more than that it could not make the channel.
            Err(Refusal::Pbx(_)) => Err(Refusal::Target("endpoint-unavailable".into())),
            other => other.map(drop),
        }
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
        let bridge = monitor_bridge(phone);
        self.bridge(asterisk, &bridge).await?;
        let before = self.snoops_of(phone);
        let whisper = match mode {
            Mode::Listen => "none",
            Mode::Whisper => "out",
            Mode::Barge => "both",
        };
        let request =
            Request::post("channels").part(target).part("snoop").part(&format!("hs-{}", self.ids.next()));
        let request = request.with("spy", "both").with("whisper", whisper);
        let request = request.with("app", app).with("appArgs", format!("snoop,{call},{phone}"));
        self.ask(asterisk, request).await?;
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
        let request = Request::post("bridges").part(&monitor_bridge(phone)).part("addChannel");
        self.ask(asterisk, request.with("channel", snoop)).await.map(drop)
    }

    fn snoops_of(&self, phone: &str) -> Vec<String> {
        let table = self.board.table();
        let bridge = monitor_bridge(phone);
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
        let near = self.board.table().leg(whom).and_then(|leg| leg.endpoint.clone());
        let names = near.map(|(_, name)| vec![name]);
        let pair = self.take(of, names.as_deref()).await?;
        self.adopt(of, &pair).await?;
        self.join(asterisk, &bridge_of(of.1), phone, Place::Talk).await?;
        self.hang_up_leg(asterisk, whom).await
    }
}
