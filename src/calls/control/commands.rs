//! Commands on one call: hang up, hold, mute, keys, park, record.

use super::{Control, LIVE, MOVED, MOVED_BY, Pair, Refusal, bridge_of};
use crate::ari::Request;
use crate::base::ids::{Id, Name, TenantId, global_name, split_global_name};
use crate::calls::happened;
use crate::calls::table::{Kind, Place, Slot, Table};
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
        let (asterisk, linkedid) = self.place(of)?;
        let _alone = self.alone(&linkedid).await;
        let legs = self.see(of, |call| {
            Ok(call
                .legs
                .iter()
                .filter(|leg| leg.kind == Kind::Phone)
                .map(|leg| leg.id.clone())
                .collect::<Vec<_>>())
        })?;
        for leg in legs {
            self.hang_up_leg(&asterisk, &leg).await?;
        }
        Ok(())
    }

    /// The other side hears music. Repeating it changes nothing.
    ///
    /// # Errors
    /// When the call is not alive or nobody talks, or Asterisk does not do it.
    pub async fn hold(&self, of: Which<'_>, near: Option<&[Name]>) -> Result<(), Refusal> {
        let _alone = self.alone(&self.place(of)?.1).await;
        if self.is(of, &Place::Held)? {
            return Ok(());
        }
        let pair = self.take(of, near).await?;
        self.apart(&pair.asterisk, &bridge_of(of.1), &pair.far.id, Place::Held).await?;
        self.tell_held(of, &pair, true).await;
        Ok(())
    }

    /// The other side is back.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn unhold(&self, of: Which<'_>) -> Result<(), Refusal> {
        let _alone = self.alone(&self.place(of)?.1).await;
        if !self.is(of, &Place::Held)? {
            return Ok(());
        }
        let pair = self.pair(of, None)?;
        for leg in self.legs_at(of, &Place::Held)? {
            self.join(&pair.asterisk, &bridge_of(of.1), &leg, Place::Talk).await?;
        }
        self.tell_held(of, &pair, false).await;
        Ok(())
    }

    async fn tell_held(&self, of: Which<'_>, pair: &Pair, held: bool) {
        let seen = self
            .board
            .table()
            .leg(&pair.near.id)
            .map(|leg| happened::held((of.0, of.1), leg, held, self.clock.now_us()));
        if let Some(seen) = seen {
            self.write_down(seen).await;
        }
    }

    fn is(&self, of: Which<'_>, place: &Place) -> Result<bool, Refusal> {
        self.see(of, |call| Ok(call.legs.iter().any(|leg| leg.place == *place)))
    }

    fn legs_at(&self, of: Which<'_>, place: &Place) -> Result<Vec<String>, Refusal> {
        self.see(of, |call| {
            Ok(call.legs.iter().filter(|leg| leg.place == *place).map(|leg| leg.id.clone()).collect())
        })
    }

    /// The microphone of the side that acts is off, or on again.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn mute(&self, of: Which<'_>, near: Option<&[Name]>, on: bool) -> Result<(), Refusal> {
        let _alone = self.alone(&self.place(of)?.1).await;
        let pair = self.take(of, near).await?;
        let request = if on { Request::post("channels") } else { Request::delete("channels") };
        let request = request.part(&pair.near.id).part("mute").with("direction", "in");
        self.ask(&pair.asterisk, request).await.map(drop)
    }

    /// Keys are heard by the other side.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn dtmf(&self, of: Which<'_>, near: Option<&[Name]>, digits: &str) -> Result<(), Refusal> {
        let _alone = self.alone(&self.place(of)?.1).await;
        let pair = self.take(of, near).await?;
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
        let _alone = self.alone(&self.place(of)?.1).await;
        let parked = self.see(of, |call| Ok(call.legs.iter().find_map(|leg| leg.slot())))?;
        if let Some(slot) = parked {
            return Ok(slot);
        }
        let pair = self.take(of, near).await?;
        let number = free_slot(&self.board.table(), of.0).ok_or(Refusal::State("all slots are taken"))?;
        let by =
            pair.near.endpoint.as_ref().map_or_else(String::new, |(tenant, name)| global_name(tenant, name));
        let until_s = self.clock.now_us() / 1_000_000 + self.parked_s;
        let place = Place::Parked(Slot { number, until_s, by });
        self.adopt(of, &pair).await?;
        self.apart(&pair.asterisk, &bridge_of(of.1), &pair.far.id, place).await?;
        self.hang_up_leg(&pair.asterisk, &pair.near.id).await?;
        self.write_down(happened::parked(of.1, of.0, number, self.clock.now_us())).await;
        Ok(number)
    }

    /// Sends those who are parked for too long back to who put them there, as if that one were called.
    pub(super) async fn look_into_slots(&self) -> Result<(), Refusal> {
        let now_s = self.clock.now_us() / 1_000_000;
        let over: Vec<(String, String, String, Slot)> = {
            let table = self.board.table();
            let parked = table.legs().filter_map(|leg| match &leg.place {
                Place::Parked(slot) if slot.until_s <= now_s && leg.ours => {
                    Some((leg.seen_by.first()?.clone(), leg.linkedid.clone(), leg.id.clone(), slot.clone()))
                }
                _ => None,
            });
            parked.collect()
        };
        for (asterisk, linkedid, leg, slot) in over {
            let _alone = self.alone(&linkedid).await;
            let name = split_global_name(&slot.by).ok().map(|(_, name)| name.to_string());
            // Only what can be dialled is an extension of the dialplan.
            let to = name.filter(|name| name.bytes().all(|b| b.is_ascii_digit()));
            self.set(&asterisk, &leg, MOVED_BY, &slot.by).await?;
            self.put(&asterisk, &leg, Place::Dialplan).await?;
            let request = Request::post("channels").part(&leg).part("continue").with("priority", 1);
            let request = match &to {
                Some(to) => request.with("context", MOVED).with("extension", to),
                None => request.with("context", LIVE).with("extension", "stale"),
            };
            self.end(&asterisk, request).await?;
        }
        Ok(())
    }

    /// Records the call, in the file that all of its recordings are in.
    ///
    /// # Errors
    /// As [`Control::hold`].
    pub async fn record(&self, of: Which<'_>, near: Option<&[Name]>, what: Record) -> Result<(), Refusal> {
        let _alone = self.alone(&self.place(of)?.1).await;
        let pair = self.take(of, near).await?;
        let word = match what {
            Record::On => "on",
            Record::Pause => "pause",
            Record::Off => "off",
        };
        self.aside(of, &pair, word).await
    }

    /// Sends the caller's channel through a piece of the dialplan, and back into the talk.
    async fn aside(&self, of: Which<'_>, pair: &Pair, extension: &str) -> Result<(), Refusal> {
        let caller = &pair.caller.id;
        let request = Request::post("channels").part(caller).part("continue");
        let request = request.with("context", LIVE).with("extension", extension).with("priority", 1);
        // It comes back of itself: first it is not ours any more.
        self.ask(&pair.asterisk, request).await?;
        let left = self.board.until(|table| match table.leg(caller) {
            Some(leg) => (!leg.ours).then_some(true),
            None => Some(false),
        });
        if left.await == Some(false) {
            return Err(Refusal::Gone);
        }
        let back = self.board.until(|table| match table.leg(caller) {
            Some(leg) => leg.ours.then_some(true),
            None => Some(false),
        });
        match back.await {
            Some(true) => self.join(&pair.asterisk, &bridge_of(of.1), caller, Place::Talk).await,
            Some(false) => Err(Refusal::Gone),
            None => Err(Refusal::State("the caller did not come back from the dialplan")),
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
