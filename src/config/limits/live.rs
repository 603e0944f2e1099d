//! Live calls, and what is done to them.

use std::time::Duration;

/// Changes of calls that wait to be written down; one has some 300 bytes. 50 calls a second make some 400 a second.
pub const ITEMS: usize = 65_536;
/// Time that an end has to be told by the dialplan, before what Asterisk's events say of it counts. The dialplan tells it
/// within some milliseconds.
pub const GRACE: Duration = Duration::from_millis(1_000);
/// Time for Asterisk to do what it was asked: it takes some milliseconds.
pub const WAIT_TIME: Duration = Duration::from_secs(3);
/// Time that a channel has to be asked for after it came to us, before it goes back to the dialplan.
pub const STALE_TIME: Duration = Duration::from_secs(4);
/// Calls younger than this are not looked for on an Asterisk: their channel may not have told of them yet.
pub const YOUNG: Duration = Duration::from_secs(5);
/// How often phones that were told to talk are compared with those that do: what was not heard of is found so.
pub const PHONES_LOOK: Duration = Duration::from_secs(5);
/// A process that has written no call for so long watches no Asterisk any more.
pub const NODE_TIME: Duration = Duration::from_secs(24 * 3_600);
/// Seconds that a phone rings which is called for a command.
pub const RING_S: u32 = 30;
/// Seconds that an errand of the dialplan may take.
pub const ERRAND_S: u32 = 5;
/// The first slot of parked calls; each tenant has its own.
pub const SLOT_FIRST: u16 = 701;
/// The last one.
pub const SLOT_LAST: u16 = 799;
/// How often those are looked for who have been parked for too long.
pub const PARKED_LOOK: Duration = Duration::from_secs(2);
/// Digits sent at once.
pub const DIGITS: usize = 32;
/// Milliseconds between two of them, as a person presses them.
pub const DIGITS_PAUSE_MS: u32 = 100;
/// Phones in a conference; each costs Asterisk the mixing of its sound.
pub const CONFERENCE: usize = 20;
/// Characters of a number that is called.
pub const NUMBER_CHARACTERS: usize = 32;
/// Pause between two attempts to take a call back of which Asterisk did not say whether it was made.
pub const TAKE_BACK_PAUSE: Duration = Duration::from_secs(1);
/// How often that is tried: after a minute the phone has long stopped ringing.
pub const TAKE_BACK_TRIES: u32 = 60;
