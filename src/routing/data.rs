//! A tenant's routing data as the call path wants it: read once, checked once, kept in memory, shared by reference.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use chrono_tz::Tz;

use super::callback::CallbackRules;
use super::platform::Platform;
use super::schedule::Schedule;
use super::types::{Destination, Stage};
use super::webhook::WebhookRoute;
use crate::base::ids::{Id, Name, Number, Sound, TenantId};
use crate::plugins::Setup;
use crate::tenants::TenantStatus;

/// Everything routing knows of one tenant. Replaced as a whole when anything in it changes. What every call looks at lies
/// together in front, because each call may meet another tenant, cold.
#[derive(Debug)]
#[repr(C)]
pub struct TenantRules {
    /// When a call asked last, by the count of the memory that holds it.
    pub used: AtomicU64,
    /// Which tenant.
    pub tenant: TenantId,
    /// Whether it may have calls.
    pub status: TenantStatus,
    /// Calls at the same time at most; 0: no limit.
    pub max_calls: u32,
    /// Callers that are never let in.
    pub block: NumberList,
    /// Callers for whom opening hours do not count.
    pub allow: NumberList,
    /// Its queues: seconds a caller waits at most.
    pub queues: HashMap<Name, QueueRules>,
    /// Language of prompts where nothing else names one.
    pub language: String,
    /// The clock on its wall.
    pub zone: Tz,
    /// Version of the data this was read from; see `tenants::store::touch`.
    pub version: i64,
    /// Where a call goes when everything else has failed.
    pub fallback: Option<Destination>,
    /// Where blocked callers go; `None`: the end.
    pub blocked: Option<Destination>,
    /// Its numbers.
    pub dids: HashMap<Digits, Arc<DidRules>>,
    /// Its endpoints.
    pub endpoints: HashMap<Name, EndpointRules>,
    /// Its mailboxes.
    pub mailboxes: HashSet<Name>,
    /// Its menus.
    pub menus: HashMap<Name, Arc<Menu>>,
    /// What its endpoints may dial outside, and which way.
    pub outbound: Vec<OutboundRule>,
    /// Its plugins.
    pub plugins: HashMap<Name, Arc<Setup>>,
    /// The sound before a recording.
    pub announcement: Option<Sound>,
    /// Calls out at the same time at most; 0: no limit.
    pub max_outbound_calls: u32,
    /// Calls out in a second at most; 0: no limit.
    pub max_outbound_rate: u32,
    /// Its country, as ISO 3166 has it (`DE`), for emergency numbers; empty: none.
    pub country: String,
    /// What the operator says of numbers for all tenants.
    pub platform: Arc<Platform>,
}

/// Numbers outside that begin so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboundRule {
    /// The beginning, with `+`; or one whole short number.
    pub prefix: String,
    /// Whether they may be dialled.
    pub allowed: bool,
    /// The tenant's own trunk that they go through; `None`: the operator's.
    pub trunk: Option<Name>,
}

/// One DID. Each call meets another one, cold: it is small, what every call looks at lies together in front, and what few
/// need is boxed.
#[derive(Debug)]
#[repr(C)]
pub struct DidRules {
    /// The number.
    pub number: Digits,
    /// Calls at the same time at most; 0: no limit.
    pub max_calls: u32,
    /// Whether it is in service.
    pub active: bool,
    /// The schedule is named but missing: the DID is closed, and the trace says why.
    pub schedule_missing: bool,
    /// Whether calls are recorded.
    pub record: bool,
    /// Opening hours; `None`: always open.
    pub schedule: Option<Arc<Schedule>>,
    /// The webhook that chooses, when that is the route type.
    pub webhook: Option<Arc<WebhookRoute>>,
    /// The plugin that chooses, its own or the tenant's, such as `vip-router@3`.
    pub plugin: Option<Arc<str>>,
    /// Language of prompts; empty: the tenant's.
    pub language: String,
    /// The static route; `None` for route type webhook or when the row is wrong.
    pub primary: Option<Destination>,
    /// Where to go next when the primary reached nobody.
    pub overflow: Vec<Destination>,
    /// Where to go when plugin or webhook fails, and after the overflow.
    pub fallback: Option<Box<Destination>>,
    /// Where to go outside opening hours.
    pub closed: Option<Box<Destination>>,
    /// Where to go on holidays; `None`: as when closed.
    pub holiday: Option<Box<Destination>>,
    /// Where to go when there are too many calls.
    pub limit: Option<Box<Destination>>,
    /// Where to go when the DID is not in service.
    pub inactive: Option<Box<Destination>>,
    /// Its row.
    pub id: Id,
}

/// One endpoint.
#[derive(Debug)]
pub struct EndpointRules {
    /// Whether it may be called and call.
    pub active: bool,
    /// Where its unanswered calls go.
    pub mailbox: Option<Name>,
    /// Seconds it rings.
    pub ring_timeout_s: u32,
    /// The number it shows outside; empty: none of its own.
    pub caller_number: String,
    /// Whether its calls are recorded.
    pub record: bool,
}

/// One queue.
#[derive(Debug)]
pub struct QueueRules {
    /// Whether callers may join.
    pub active: bool,
    /// Seconds a caller waits at most; 0: no limit.
    pub max_wait_s: u32,
    /// The extension that reaches it inside; empty: none.
    pub extension: String,
    /// Whether its calls are recorded.
    pub record: bool,
    /// The sound before that; `None`: the tenant's.
    pub announcement: Option<Sound>,
    /// Its callbacks.
    pub callback: CallbackRules,
}

/// One menu.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Menu {
    /// Its name within the tenant.
    pub name: Name,
    /// What is said, by language; the entry of the empty language serves where none fits.
    pub prompts: BTreeMap<String, Sound>,
    /// Said after a wrong choice.
    pub invalid: Option<Sound>,
    /// Said before the call ends here.
    pub goodbye: Option<Sound>,
    /// Time to press the first digit once the prompt is over.
    pub first_digit_ms: u32,
    /// Time to press the next digit while more than one choice is possible.
    pub inter_digit_ms: u32,
    /// How often the menu asks.
    pub max_tries: u32,
    /// Whether extensions of the tenant can be dialled.
    pub direct_dial: bool,
    /// Choices by the digits that make them.
    pub options: BTreeMap<String, Choice>,
}

/// What a choice does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The call goes on there; another menu is a destination too.
    Go(Destination),
    /// The menu says its prompt again; this is no failed try.
    Repeat,
    /// Back to the menu before.
    Back,
    /// Goodbye and hang up.
    Goodbye,
}

/// Numbers and prefixes with an optional end of validity.
#[derive(Debug, Default)]
pub struct NumberList {
    exact: HashMap<Digits, i64>,
    /// Without the `*`.
    prefixes: HashMap<Digits, i64>,
    /// Bit n: there is a prefix of n bytes. Most lists have two or three lengths, so few need a look-up.
    lengths: u32,
    /// Whether withheld numbers are meant too, and until when.
    anonymous: Option<i64>,
}

impl NumberList {
    /// Adds a pattern: an E.164 number, a prefix ending in `*`, or `anonymous`; valid until `expires_us` (0: for ever).
    /// Returns whether the pattern is one of these.
    pub fn insert(&mut self, pattern: &str, expires_us: i64) -> bool {
        let until = if expires_us == 0 { i64::MAX } else { expires_us };
        if pattern == "anonymous" {
            self.anonymous = Some(until);
            return true;
        }
        let digits =
            |text: &str| text.strip_prefix('+').is_some_and(|d| d.bytes().all(|b| b.is_ascii_digit()));
        match pattern.strip_suffix('*') {
            Some(prefix) if digits(prefix) && prefix.len() <= 16 => {
                self.lengths |= 1 << prefix.len();
                self.prefixes.insert(Digits::of(prefix), until);
            }
            None if Number::parse(pattern).is_ok() => {
                self.exact.insert(Digits::of(pattern), until);
            }
            _ => return false,
        }
        true
    }

    /// The pattern that holds for a caller at a time. `number` is `None` for a withheld or unreadable one.
    pub fn find<'n>(&self, number: Option<&'n Number>, at_us: i64) -> Option<&'n str> {
        let valid = |until: &i64| *until > at_us;
        let Some(number) = number.map(Number::as_str) else {
            return self.anonymous.filter(valid).map(|_| "anonymous");
        };
        if self.exact.get(&Digits::of(number)).is_some_and(valid) {
            return Some(number);
        }
        // The longest prefix first; E.164 is ASCII, so every cut is a character's.
        (1..=number.len())
            .rev()
            .filter(|n| self.lengths & (1 << n) != 0)
            .map(|n| &number[..n])
            .find(|prefix| self.prefixes.get(&Digits::of(prefix)).is_some_and(valid))
    }

    /// How many patterns there are.
    pub fn len(&self) -> usize {
        self.exact.len() + self.prefixes.len() + usize::from(self.anonymous.is_some())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A number, or the beginning of one, as a word: a key that lies in its map and not behind a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Digits(u64);

impl Digits {
    /// The at most 15 digits behind the `+`, with a 1 in front that keeps their zeros and how many they are.
    fn of(number: &str) -> Self {
        Self(number.bytes().skip(1).fold(1, |n, digit| n * 10 + u64::from(digit.wrapping_sub(b'0'))))
    }
}

impl From<&Number> for Digits {
    fn from(number: &Number) -> Self {
        Self::of(number.as_str())
    }
}

impl fmt::Display for Digits {
    /// As the number was: `+15550001000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        write!(f, "+{}", &text[1..])
    }
}

impl DidRules {
    /// The destinations that come at `stage` or after it, with their stage. `stage` itself is included when
    /// `inclusive`.
    pub fn from_stage<'a>(
        &'a self,
        rules: &'a TenantRules,
        stage: Stage,
        inclusive: bool,
    ) -> impl Iterator<Item = (Stage, &'a Destination)> {
        let overflow = self.overflow.iter().zip(0_u8..).map(|(d, n)| (Stage::Overflow(n), d));
        let primary = self.primary.iter().map(|d| (Stage::Primary, d));
        let all = primary
            .chain(overflow)
            .chain(self.fallback.as_deref().map(|d| (Stage::DidFallback, d)))
            .chain(rules.fallback.as_ref().map(|d| (Stage::TenantFallback, d)));
        let from = rank(stage);
        all.filter(move |(s, _)| if inclusive { rank(*s) >= from } else { rank(*s) > from })
    }
}

/// Order of the stages: a call moves only to a greater one. Closed stands beside the last overflow, so that only the
/// fallbacks follow; after Refused nothing does.
fn rank(stage: Stage) -> u16 {
    match stage {
        Stage::Script => 0,
        Stage::Primary => 1,
        Stage::Overflow(n) => 2 + u16::from(n),
        Stage::Closed => 300,
        Stage::DidFallback => 301,
        Stage::TenantFallback => 302,
        Stage::Refused => 303,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        Number::parse(text).unwrap()
    }

    #[test]
    fn digits_are_as_good_as_their_number() {
        for text in ["+1000000", "+15550001000", "+999999999999999"] {
            assert_eq!(Digits::from(&number(text)).to_string(), text);
        }
        assert_ne!(Digits::of("+49"), Digits::of("+490"));
        assert_ne!(Digits::of("+0"), Digits::of("+00"));
    }

    #[test]
    fn number_lists_know_exact_prefix_and_anonymous() {
        let mut list = NumberList::default();
        for pattern in ["+15550001111", "+4930*", "+49*", "anonymous"] {
            assert!(list.insert(pattern, 0), "{pattern}");
        }
        for bad in ["", "*", "5551234", "+49 30*", "+1555000*1", "ANONYMOUS", "+1"] {
            assert!(!list.insert(bad, 0), "{bad}");
        }
        assert_eq!(list.len(), 4);
        assert_eq!(list.find(Some(&number("+15550001111")), 1), Some("+15550001111"));
        assert_eq!(list.find(Some(&number("+15550001112")), 1), None);
        assert_eq!(list.find(Some(&number("+49301234567")), 1), Some("+4930"));
        assert_eq!(list.find(Some(&number("+49401234567")), 1), Some("+49"));
        assert_eq!(list.find(None, 1), Some("anonymous"));
    }

    #[test]
    fn an_expired_pattern_counts_no_more_and_uncovers_the_wider_one() {
        let mut list = NumberList::default();
        list.insert("+4930*", 100);
        list.insert("+49*", 0);
        let caller = number("+49301234567");
        assert_eq!(list.find(Some(&caller), 99), Some("+4930"));
        assert_eq!(list.find(Some(&caller), 100), Some("+49"));
    }
}
