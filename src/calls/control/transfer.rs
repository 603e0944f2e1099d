//! A call is handed to somebody: at once, or after that one was asked. Conferences are made the same way.

use serde_json::json;

use super::commands::Which;
use super::{Control, MOVED, MOVED_BY, Pair, Refusal, bridge_of};
use crate::ari::Request;
use crate::base::ids::{Name, global_name};
use crate::calls::happened;
use crate::calls::table::{Place, Table};
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
        let _alone = self.alone(&self.place(of)?.1).await;
        let pair = self.pair(of, near)?;
        let by = by(&pair)?;
        self.may(of.0, &by.1, to).await?;
        let by_name = global_name(&by.0, &by.1);
        if pair.ours {
            self.set(&pair.asterisk, &pair.far.id, MOVED_BY, &by_name).await?;
            self.put(&pair.asterisk, &pair.far.id, Place::Dialplan).await?;
            let request = Request::post("channels").part(&pair.far.id).part("continue");
            let request = request.with("context", MOVED).with("extension", to).with("priority", 1);
            self.ask(&pair.asterisk, request).await?;
            self.hang_up_leg(&pair.asterisk, &pair.near.id).await?;
        } else {
            let told = [("HS_A", pair.far.name.as_str()), ("HS_BY", &by_name), ("HS_TO", to)];
            self.errand(&pair.asterisk, "move", &told).await?;
            let left = |table: &Table| match table.leg(&pair.near.id) {
                Some(leg) => leg.bridge.is_none().then_some(()),
                None => Some(()),
            };
            self.board.until(left).await.ok_or(Refusal::State("the call can't be moved now"))?;
        }
        self.tell_transfer(of, &pair, to, false).await;
        Ok(())
    }

    pub(super) async fn tell_transfer(&self, of: Which<'_>, pair: &Pair, to: &str, attended: bool) {
        let endpoint = pair.near.endpoint.as_ref().map(|(_, name)| name);
        let by = (endpoint, pair.near.name.as_str());
        self.write_down(happened::transferred(of, by, (to, attended), self.clock.now_us())).await;
    }

    /// The other side hears music while somebody is called, whom the side that acts then talks to.
    ///
    /// # Errors
    /// As [`Control::transfer`].
    pub async fn ask_first(&self, of: Which<'_>, near: Option<&[Name]>, to: &str) -> Result<Step, Refusal> {
        let _alone = self.alone(&self.place(of)?.1).await;
        let pair = self.pair(of, near)?;
        let by = by(&pair)?;
        self.may(of.0, &by.1, to).await?;
        if self.legs_of(of, |place| *place == Place::Asked)?.is_empty() {
            let pair = self.take(of, near).await?;
            self.apart(&pair.asterisk, &bridge_of(of.1), &pair.far.id, Place::Waits).await?;
            self.call_in(of, &pair, to, "asked").await?;
        }
        Ok(Step::Asking)
    }

    /// Hands the call to whom was asked.
    ///
    /// # Errors
    /// When nobody was asked, or has not answered.
    pub async fn complete(&self, of: Which<'_>) -> Result<Step, Refusal> {
        let (asterisk, linkedid) = self.place(of)?;
        let _alone = self.alone(&linkedid).await;
        let asked = self.legs_of(of, |place| *place == Place::Asked)?;
        let held = self.legs_of(of, |place| *place == Place::Waits)?;
        let [asked] = asked.as_slice() else {
            return Err(Refusal::State("nobody was asked who has answered"));
        };
        let talk = self.legs_of(of, |place| *place == Place::Talk)?;
        let pair = self.near_and_held(of, &asterisk, &talk, &held)?;
        let to = self.board.table().leg(asked).map(|leg| leg.party.0.clone()).unwrap_or_default();
        for leg in &held {
            self.join(&asterisk, &bridge_of(of.1), leg, Place::Talk).await?;
        }
        self.put(&asterisk, asked, Place::Talk).await?;
        for leg in &talk {
            self.hang_up_leg(&asterisk, leg).await?;
        }
        if let Some(pair) = pair {
            self.tell_transfer(of, &pair, &to, true).await;
        }
        Ok(Step::Complete)
    }

    /// Lets go of who is asked; the other side is back.
    ///
    /// # Errors
    /// When Asterisk does not do it.
    pub async fn cancel(&self, of: Which<'_>) -> Result<Step, Refusal> {
        let (asterisk, linkedid) = self.place(of)?;
        let _alone = self.alone(&linkedid).await;
        for leg in self.invited(of)? {
            self.hang_up_leg(&asterisk, &leg).await?;
        }
        for leg in self.legs_of(of, |place| *place == Place::Waits)? {
            self.join(&asterisk, &bridge_of(of.1), &leg, Place::Talk).await?;
        }
        Ok(Step::Cancelled)
    }

    /// Calls somebody into the talk.
    ///
    /// # Errors
    /// As [`Control::transfer`]; when enough talk already.
    pub async fn confer(&self, of: Which<'_>, near: Option<&[Name]>, to: &str) -> Result<(), Refusal> {
        let _alone = self.alone(&self.place(of)?.1).await;
        let talk = self.legs_of(of, |place| *place == Place::Talk)?;
        if talk.len() >= limits::CONFERENCE {
            return Err(Refusal::State("the conference is full"));
        }
        // The third and later ones are called by whoever acts, as far as that is one of those who talk.
        let pair = if talk.len() > 2 { self.any_pair(of, near, &talk)? } else { self.take(of, near).await? };
        let by = by(&pair)?;
        self.may(of.0, &by.1, to).await?;
        self.call_in(of, &pair, to, "talk").await
    }

    /// Calls a number by the rules of the endpoint that acts; who answers comes to us with what he is to be.
    async fn call_in(&self, of: Which<'_>, pair: &Pair, to: &str, role: &str) -> Result<(), Refusal> {
        let by = by(pair)?;
        let asterisk = self.asterisk(&pair.asterisk)?;
        let request = Request::post("channels")
            .with("endpoint", format!("Local/{to}@{MOVED}/n"))
            .with("app", asterisk.app())
            .with("appArgs", format!("join,{},{role}", of.1))
            .with("callerId", format!("{} <{}>", by.1, by.1))
            .with("timeout", limits::RING_S)
            .with("originator", &pair.near.id)
            .with("channelId", format!("hs-{}", self.ids.next()))
            .json(json!({ "variables": { MOVED_BY: global_name(&by.0, &by.1) } }));
        self.ask(&pair.asterisk, request).await.map(drop)
    }

    pub(super) fn legs_of(&self, of: Which<'_>, is: impl Fn(&Place) -> bool) -> Result<Vec<String>, Refusal> {
        self.see(of, |call| {
            Ok(call.legs.iter().filter(|leg| is(&leg.place)).map(|leg| leg.id.clone()).collect())
        })
    }

    /// Channels that were called in to be asked, whether they answered or not.
    fn invited(&self, of: Which<'_>) -> Result<Vec<String>, Refusal> {
        self.see(of, |call| {
            let asked = call.legs.iter().filter(|leg| {
                let calls = leg.id.starts_with("hs-") && leg.name.starts_with("Local/") && leg.state != "Up";
                leg.place == Place::Asked || calls
            });
            Ok(asked.map(|leg| leg.id.clone()).collect())
        })
    }

    fn near_and_held(
        &self,
        of: Which<'_>,
        asterisk: &str,
        talk: &[String],
        held: &[String],
    ) -> Result<Option<Pair>, Refusal> {
        self.see(of, |call| {
            let end = |id: &String| call.legs.iter().find(|leg| leg.id == *id).map(|leg| super::End::of(leg));
            let (Some(near), Some(far)) = (talk.first().and_then(end), held.first().and_then(end)) else {
                return Ok(None);
            };
            let caller = call.caller().map_or_else(|| far.clone(), super::End::of);
            let linkedid = call.legs.first().map(|leg| leg.linkedid.clone()).unwrap_or_default();
            Ok(Some(Pair { asterisk: asterisk.to_owned(), linkedid, near, far, caller, ours: true }))
        })
    }

    fn any_pair(&self, of: Which<'_>, near: Option<&[Name]>, talk: &[String]) -> Result<Pair, Refusal> {
        self.see(of, |call| {
            let mut ends = call.endpoints().filter(|(leg, _)| talk.contains(&leg.id));
            let acts = ends.find(|(_, name)| near.is_none_or(|names| names.contains(name)));
            let (leg, _) = acts.ok_or(Refusal::State("none of the tenant's endpoints talks"))?;
            let asterisk = leg.seen_by.first().ok_or(Refusal::NoPbx)?.clone();
            let end = super::End::of(leg);
            let linkedid = leg.linkedid.clone();
            Ok(Pair { asterisk, linkedid, near: end.clone(), far: end.clone(), caller: end, ours: true })
        })
    }
}

fn by(pair: &Pair) -> Result<(crate::base::ids::TenantId, Name), Refusal> {
    pair.near.endpoint.clone().ok_or(Refusal::State("none of the tenant's endpoints talks"))
}
