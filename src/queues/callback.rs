//! Callbacks: callers who leave the line and keep their place in it. Which one is due is decided here, pure; what it is to dial
//! one is a trait, for this module knows no telephone.

use futures_util::future::BoxFuture;

use crate::base::ids::{Id, Name, Number, TenantId};
use crate::base::words::words;

words! {
    /// What has become of a callback.
    pub enum CallbackState {
        /// It has not been dialled, or its last attempt failed and another follows.
        Waiting = "waiting",
        /// The caller's phone is being called.
        Dialling = "dialling",
        /// The caller has answered, and waits in front of the line.
        Answered = "answered",
        /// Somebody has talked to the caller.
        Done = "done",
        /// Nobody answered as often as it is tried, or the caller hung up before a member came.
        Failed = "failed",
        /// Somebody took it back.
        Cancelled = "cancelled",
        /// It was not its turn in time.
        Expired = "expired",
    }
}

/// A callback whose turn it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Whose it is.
    pub tenant: TenantId,
    /// Its id: what the channel carries as `HS_CALLBACK` into the context `hookswitch-called-back`.
    pub id: Id,
    /// The queue.
    pub queue: Name,
    /// Who is called.
    pub number: Number,
    /// The caller's name; empty: not known.
    pub name: String,
    /// The number that the caller's phone is shown; empty: Asterisk's own.
    pub shows: String,
    /// When the caller joined the line, microseconds since 1970 UTC.
    pub place_us: i64,
}

/// Why a callback was not dialled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DialError {
    /// Nothing was sent: no Asterisk is connected now. It is no attempt.
    #[error("no Asterisk is connected over ARI")]
    NotReady,
    /// Nobody knows: the phone may ring all the same.
    #[error("{0}")]
    Unknown(String),
    /// It is not dialled.
    #[error("{0}")]
    Refused(String),
}

/// What calls the caller's phone and sends whoever answers to `s@hookswitch-called-back`, with the variables `HS_CALLBACK`
/// (the id) and `HS_NUMBER` (the number). It rings for at most [`crate::config::limits::queues::CALLBACK_RING_S`]. What becomes
/// of it is told by the dialplan, which asks `callback`, or by [`super::callback_desk::Callbacks::failed`].
pub trait Dialler: std::fmt::Debug + Send + Sync {
    /// Whether it could call now; else callbacks wait, or another node dials them.
    fn is_ready(&self) -> bool;

    /// Begins to call; `Ok`: the caller's phone is being called.
    fn dial<'a>(&'a self, due: &'a Due) -> BoxFuture<'a, Result<(), DialError>>;
}

/// Where a callback stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stand {
    /// It waits, and may be dialled from then on; microseconds since 1970 UTC.
    Waiting(i64),
    /// It is being dialled, or its caller waits for a member: it will take one.
    Called,
}

/// An open callback of a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Its id.
    pub id: Id,
    /// When the caller joined the line, microseconds since 1970 UTC.
    pub place_us: i64,
    /// Where it stands.
    pub stand: Stand,
}

/// A queue's members.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Those who could take a call now.
    pub free: usize,
    /// Those who take calls at all: these, and who talks or rests.
    pub present: usize,
}

/// Which callbacks are to be dialled now, in their order. `callers`: when those who wait in the line joined it, without those
/// who were called back.
///
/// One is due when nobody who joined before it still waits and a member is free for it. Where all members are busy and somebody
/// waits behind it, it would be overtaken as soon as one is free: so the first one in line is called ahead, and waits in front.
pub fn due(now_us: i64, callers: &[i64], wishes: &[Wish], members: Members) -> Vec<Id> {
    let called = wishes.iter().filter(|wish| wish.stand == Stand::Called).count();
    let (mut free, mut due) = (members.free.saturating_sub(called), Vec::new());
    let mut waiting: Vec<&Wish> = wishes
        .iter()
        .filter(|wish| matches!(wish.stand, Stand::Waiting(from_us) if from_us <= now_us))
        .collect();
    waiting.sort_by_key(|wish| (wish.place_us, &wish.id));
    for wish in waiting {
        if callers.iter().any(|joined_us| *joined_us < wish.place_us) {
            break;
        }
        let is_ahead = called == 0 && due.is_empty() && members.present > 0 && !callers.is_empty();
        if free == 0 && !is_ahead {
            break;
        }
        free = free.saturating_sub(1);
        due.push(wish.id.clone());
    }
    due
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::base::clock::{Clock, from_us};
    use crate::base::ids::IdSource;

    const NOW: i64 = 1_000;

    fn wishes(of: &[(i64, Stand)]) -> Vec<Wish> {
        let ids = IdSource::new(Clock::manual(from_us(1_700_000_000_000_000)));
        of.iter()
            .map(|(place_us, stand)| Wish { id: ids.next(), place_us: *place_us, stand: *stand })
            .collect()
    }

    /// The places of those that are due.
    fn places(callers: &[i64], of: &[(i64, Stand)], free: usize, present: usize) -> Vec<i64> {
        let wishes = wishes(of);
        let due = due(NOW, callers, &wishes, Members { free, present });
        due.iter().map(|id| wishes.iter().find(|wish| wish.id == *id).unwrap().place_us).collect()
    }

    #[test]
    fn a_callback_waits_its_turn() {
        let waits = Stand::Waiting(0);
        assert_eq!(places(&[], &[(10, waits)], 0, 1), [0; 0], "nobody is free and nobody waits behind it");
        assert_eq!(places(&[], &[(10, waits)], 1, 1), [10]);
        assert_eq!(places(&[5], &[(10, waits)], 1, 1), [0; 0], "somebody joined before");
        assert_eq!(places(&[15], &[(10, waits)], 1, 1), [10]);
        assert_eq!(places(&[15], &[(10, waits)], 0, 1), [10], "it would be overtaken");
        assert_eq!(places(&[15], &[(10, waits)], 0, 0), [0; 0], "nobody is there at all");
        assert_eq!(places(&[15], &[(10, waits), (8, Stand::Called)], 0, 3), [0; 0], "one is ahead already");
        assert_eq!(places(&[], &[(30, waits), (10, waits), (20, waits)], 2, 2), [10, 20]);
        assert_eq!(places(&[], &[(30, waits), (10, Stand::Called), (20, waits)], 2, 2), [20]);
        // What is to wait does not hold up those behind it.
        assert_eq!(places(&[], &[(10, Stand::Waiting(NOW + 1)), (20, waits)], 1, 1), [20]);
        assert_eq!(places(&[], &[(10, Stand::Waiting(NOW)), (20, waits)], 1, 1), [10]);
    }

    fn any_stand() -> impl Strategy<Value = Stand> {
        prop_oneof![Just(Stand::Called), (0..NOW * 2).prop_map(Stand::Waiting), Just(Stand::Waiting(0))]
    }

    proptest! {
        #[test]
        fn nobody_is_overtaken_and_nobody_called_without_a_member(
            callers in prop::collection::vec(0_i64..100, 0..5),
            of in prop::collection::vec((0_i64..100, any_stand()), 0..8),
            (free, more) in (0_usize..4, 0_usize..3),
        ) {
            let wishes = wishes(&of);
            let due = due(NOW, &callers, &wishes, Members { free, present: free + more });
            let find = |id: &Id| wishes.iter().find(|wish| wish.id == *id).unwrap();
            let called = wishes.iter().filter(|wish| wish.stand == Stand::Called).count();
            let may_wait = |wish: &Wish| matches!(wish.stand, Stand::Waiting(at) if at <= NOW);
            // Nobody twice, nobody who is being called or must wait, nobody before a caller who joined earlier.
            for (n, id) in due.iter().enumerate() {
                prop_assert!(!due[..n].contains(id));
                let wish = find(id);
                prop_assert!(may_wait(wish) && callers.iter().all(|joined| *joined >= wish.place_us));
                // Whoever has an earlier place and may be dialled is dialled too, and before.
                for other in wishes.iter().filter(|other| may_wait(other) && other.place_us < wish.place_us) {
                    prop_assert!(due[..n].contains(&other.id));
                }
            }
            // Never more than members are free for, but one ahead of busy members.
            let ahead = usize::from(called == 0 && more + free > 0 && !callers.is_empty());
            prop_assert!(due.len() <= free.saturating_sub(called).max(ahead));
        }
    }
}
