//! Commands on one call: hang up, hold, mute, keys, park, record.

use super::follow::gone_is_fine;
use super::parties::{End, Pair, Role, parties};
use super::{Control, LIVE, MOVED, MOVED_BY, Refusal};
use crate::ari::Request;
use crate::base::ids::{Id, Name, TenantId, global_name, split_global_name};
use crate::calls::happened;
use crate::calls::table::{Kind, Leg, Place, Slot, Table};
use crate::config::limits::live as limits;

/// A tenant's call.
pub type Which<'a> = (&'a TenantId, &'a Id);

/// What is done with a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Record {
    /// It begins, or goes on.
    On,
    /// It pauses: no sound and no silence is kept.
    Pause,
    /// It ends.
    Off,
}

impl Record {
    /// In the words of the API.
    pub const WORDS: &[&str] = &["start", "pause", "resume", "stop"];

    /// Reads the word.
    pub fn parse(word: &str) -> Option<Self> {
        match word {
            "start" | "resume" => Some(Self::On),
            "pause" => Some(Self::Pause),
            "stop" => Some(Self::Off),
            _ => None,
        }
    }
}

impl Control {
    /// Ends a call: every channel of it.
    ///
    /// # Errors
    /// When there is no such living call, or Asterisk is away.
    pub async fn hang_up(&self, of: Which<'_>) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let legs = self.legs_of((of.0, &here.id), |leg| leg.kind != Kind::Snoop)?;
        for leg in legs {
            self.hang_up_leg(&here.asterisk, &leg).await?;
        }
        Ok(())
    }

    /// The other side hears music. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the call is not alive or nobody talks, somebody is being asked, or Asterisk does not do it.
    pub async fn hold(&self, of: Which<'_>, near: Option<&[Name]>) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        if !self.legs_of(of, |leg| leg.place == Place::Held)?.is_empty() {
            return Ok(());
        }
        self.nobody_waits(of)?;
        let pair = self.take(of, near).await?;
        self.apart(&pair.asterisk, &self.bridge_of(of)?, &pair.far.id, Place::Held).await?;
        self.tell_held(of, &pair.near, true).await;
        Ok(())
    }

    /// The other side is back.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn unhold(&self, of: Which<'_>) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let held = self.legs_of(of, |leg| leg.place == Place::Held)?;
        if held.is_empty() {
            return Ok(());
        }
        let bridge = self.bridge_of(of)?;
        let near = self.see(of, |call| {
            let mut all = parties(call).into_iter();
            Ok(all.find(|end| end.endpoint.is_some() && !held.contains(&end.id)))
        })?;
        for leg in &held {
            self.join(&here.asterisk, &bridge, leg, Place::Talk).await?;
        }
        if let Some(near) = near {
            self.tell_held(of, &near, false).await;
        }
        Ok(())
    }

    async fn tell_held(&self, of: Which<'_>, near: &End, held: bool) {
        let by = (near.endpoint.as_ref(), near.name.as_str());
        self.write_down(happened::held(of, by, held, self.clock.now_us())).await;
    }

    /// While who waits for the answer of somebody else can't be held or joined by others.
    pub(super) fn nobody_waits(&self, of: Which<'_>) -> Result<(), Refusal> {
        match self.legs_of(of, |leg| leg.place == Place::Waits)?.is_empty() {
            true => Ok(()),
            false => Err(Refusal::State("somebody is being asked; complete or cancel that first")),
        }
    }

    /// The microphone of the side that acts is off, or on again.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn mute(&self, of: Which<'_>, near: Option<&[Name]>, on: bool) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let pair = self.take((of.0, &here.id), near).await?;
        let request = if on { Request::post("channels") } else { Request::delete("channels") };
        let request = request.part(&pair.near.id).part("mute").with("direction", "in");
        self.ask(&pair.asterisk, request).await.map(drop)
    }

    /// Keys are heard by the other side.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn dtmf(&self, of: Which<'_>, near: Option<&[Name]>, digits: &str) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let pair = self.take((of.0, &here.id), near).await?;
        let request = Request::post("channels").part(&pair.far.id).part("dtmf");
        let request = request.with("dtmf", digits).with("between", limits::DIGITS_PAUSE_MS);
        self.ask(&pair.asterisk, request).await.map(drop)
    }

    /// The other side goes into a slot, from which anybody of the tenant may take it; the side that acts is free. Returns
    /// the slot.
    ///
    /// # Errors
    /// As [`Control::hold`]; when all slots are taken.
    pub async fn park(&self, of: Which<'_>, near: Option<&[Name]>) -> Result<u16, Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let parked = self.see(of, |call| Ok(call.legs.iter().find_map(|leg| leg.slot())))?;
        if let Some(slot) = parked {
            return Ok(slot);
        }
        self.nobody_waits(of)?;
        let pair = self.take(of, near).await?;
        let bridge = self.bridge_of(of)?;
        self.adopt(of, &pair).await?;
        let number = {
            let _alone = self.slots.lock().await;
            let number = free_slot(&self.board.table(), of.0).ok_or(Refusal::State("all slots are taken"))?;
            let by = pair.near.endpoint.as_ref().map_or_else(String::new, |name| global_name(of.0, name));
            let until_s = self.clock.now_us() / 1_000_000 + self.parked_s;
            let place = Place::Parked(Slot { number, until_s, by });
            self.put(&pair.asterisk, &pair.far.id, place).await?;
            number
        };
        self.leave(&pair.asterisk, &bridge, &pair.far.id).await?;
        self.hang_up_leg(&pair.asterisk, &pair.near.id).await?;
        self.write_down(happened::parked(of.1, of.0, number, self.clock.now_us())).await;
        Ok(number)
    }

    /// Sends those who are parked for too long back to who put them there, as if that one were called; but not while a phone
    /// rings to take them.
    pub(super) async fn look_into_slots(&self) -> Result<(), Refusal> {
        let now_s = self.clock.now_us() / 1_000_000;
        let is_over =
            |leg: &Leg| leg.ours && matches!(&leg.place, Place::Parked(slot) if slot.until_s <= now_s);
        let over: Vec<(String, String)> = {
            let table = self.board.table();
            let over = table.legs().filter(|leg| is_over(leg));
            over.map(|leg| (leg.linkedid.clone(), leg.id.clone())).collect()
        };
        for (linkedid, id) in over {
            let _alone = self.alone(&linkedid).await;
            let found = {
                let table = self.board.table();
                let mut others = table.legs().filter(|leg| leg.linkedid == linkedid);
                let is_taken = others.any(|leg| leg.state != "Up" && Role::of(&leg.id) == Some(Role::PickUp));
                table.leg(&id).filter(|leg| !is_taken && is_over(leg)).and_then(|leg| match &leg.place {
                    Place::Parked(slot) => Some((leg.seen_by.first()?.clone(), slot.clone())),
                    _ => None,
                })
            };
            if let Some((asterisk, slot)) = found {
                gone_is_fine(self.send_back(&asterisk, &id, &slot).await)?;
            }
        }
        Ok(())
    }

    async fn send_back(&self, asterisk: &str, leg: &str, slot: &Slot) -> Result<(), Refusal> {
        let name = split_global_name(&slot.by).ok().map(|(_, name)| name.to_string());
        // Only what can be dialled is an extension of the dialplan.
        let to = name.filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
        self.set(asterisk, leg, MOVED_BY, &slot.by).await?;
        self.put(asterisk, leg, Place::Dialplan).await?;
        let request = Request::post("channels").part(leg).part("continue").with("priority", 1);
        let request = match &to {
            Some(to) => request.with("context", MOVED).with("extension", to),
            None => request.with("context", LIVE).with("extension", "stale"),
        };
        self.ask(asterisk, request).await.map(drop)
    }

    /// Records the call, in the file that all of its recordings are in.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn record(&self, of: Which<'_>, near: Option<&[Name]>, what: Record) -> Result<(), Refusal> {
        let here = self.enter(of).await?;
        let of = (of.0, &here.id);
        let pair = self.take(of, near).await?;
        if pair.caller.runs.is_none() {
            return Err(Refusal::State(
                "whoever called has left; there is no channel that a recording belongs to",
            ));
        }
        let word = match what {
            Record::On => "on",
            Record::Pause => "pause",
            Record::Off => "off",
        };
        self.aside(of, &pair, word).await
    }

    /// Sends the caller's channel through a piece of the dialplan, and back to where it was.
    async fn aside(&self, of: Which<'_>, pair: &Pair, extension: &str) -> Result<(), Refusal> {
        let caller = &pair.caller.id;
        let was = {
            let table = self.board.table();
            table.leg(caller).map(|leg| (leg.starts, leg.place.clone())).ok_or(Refusal::Gone)?
        };
        let (starts, place) = was;
        let request = Request::post("channels").part(caller).part("continue");
        let request = request.with("context", LIVE).with("extension", extension).with("priority", 1);
        self.ask(&pair.asterisk, request).await?;
        // It comes back of itself.
        let back = self.board.until(|table| match table.leg(caller) {
            Some(leg) => (leg.ours && leg.starts != starts).then_some(true),
            None => Some(false),
        });
        match (back.await, place) {
            (Some(true), Place::Talk) => {
                self.join(&pair.asterisk, &self.bridge_of(of)?, caller, Place::Talk).await
            }
            (Some(true), _) => self.music(&pair.asterisk, caller).await,
            (Some(false), _) => Err(Refusal::Gone),
            // It is joined once it comes.
            (None, _) => Err(Refusal::State("the caller did not come back from the dialplan")),
        }
    }
}

/// The lowest slot in which nobody of the tenant is.
fn free_slot(table: &Table, tenant: &TenantId) -> Option<u16> {
    let calls = table.of_tenant(tenant);
    let taken: Vec<u16> =
        calls.iter().flat_map(|call| call.legs.iter()).filter_map(|leg| leg.slot()).collect();
    (limits::SLOT_FIRST..=limits::SLOT_LAST).find(|slot| !taken.contains(slot))
}
