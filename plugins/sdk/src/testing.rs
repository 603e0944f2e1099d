//! Tests of a plugin on your own machine: a [`Host`] that answers in the service's place.
//!
//! ```
//! use hookswitch_plugin::testing::{Host, call};
//! # use hookswitch_plugin::{Call, Decision, Error, Plan, Target, settings};
//! # fn route_call(_: Call) -> Result<Decision, Error> {
//! #     Ok(Plan::to(Target::queue(settings::get("queue").unwrap_or_default())).into())
//! # }
//!
//! let mut host = Host::default();
//! host.set("queue", &["sales"]);
//! let decision = host.run(|| route_call(call("+15557770001"))).unwrap();
//! assert_eq!(decision, Plan::to(Target::queue("sales")).into());
//! assert!(host.log.is_empty());
//! ```

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::call_control::{DialStatus, GatherOptions, Gathered, Prompt, Recording};
use crate::contacts::Contact;
use crate::http::{Request, Response};
use crate::log::Level;
use crate::tickets::Ticket;
use crate::{Call, Direction, Event, Failure, Field, Instant, Party, Target, WallTime};

thread_local! {
    static HOST: RefCell<Option<Host>> = const { RefCell::new(None) };
}

/// Answers one question of the plugin.
pub(crate) fn with<T>(answer: impl FnOnce(&mut Host) -> T) -> T {
    HOST.with_borrow_mut(|host| match host {
        Some(host) => answer(host),
        None => panic!("no host here: call the plugin inside `Host::run`"),
    })
}

/// What answers a request.
pub type Web = Box<dyn FnMut(&Request) -> Result<Response, Failure>>;

/// The service, as a test wants it. Fill in what the plugin will ask for; look at what it did.
#[derive(Default)]
pub struct Host {
    /// The tenant's settings; see [`Host::set`].
    pub settings: BTreeMap<String, Vec<String>>,
    /// What `kv` holds. Nothing in it runs out.
    pub kv: BTreeMap<String, String>,
    /// The address book.
    pub contacts: Vec<Contact>,
    /// The open tickets of a number.
    pub tickets: BTreeMap<String, Vec<Ticket>>,
    /// Grants that the plugin does not have, such as `http`: asked for, they answer `denied`.
    pub denied: BTreeSet<String>,
    /// Answers requests; without it every request runs into its timeout.
    pub web: Option<Web>,
    /// The keys a caller presses, one after another; `-` lets a wait run out, `!` hangs up.
    pub keys: VecDeque<char>,
    /// How dialling ends, one after another; then nobody answers.
    pub dials: VecDeque<DialStatus>,
    /// The channel's variables, without `HS_V_`.
    pub variables: BTreeMap<String, String>,
    /// What `call_control::now` says.
    pub now: Instant,
    /// Whether the caller is gone.
    pub hung_up: bool,
    /// The lines that the plugin wrote.
    pub log: Vec<(Level, String)>,
    /// What the caller heard.
    pub heard: Vec<Prompt>,
    /// Whom the script called, and for how many seconds at most.
    pub dialled: Vec<(Target, u32)>,
    /// Notes that were added: ticket and text.
    pub comments: Vec<(String, String)>,
}

impl Host {
    /// Fills in a setting; several texts are a list.
    pub fn set(&mut self, name: &str, texts: &[&str]) {
        self.settings.insert(name.into(), texts.iter().map(|text| (*text).to_owned()).collect());
    }

    /// Keys for the caller to press, such as `4711#`.
    pub fn press(&mut self, keys: &str) {
        self.keys.extend(keys.chars());
    }

    /// Runs the plugin: whatever it asks inside is answered by this host.
    pub fn run<T>(&mut self, plugin: impl FnOnce() -> T) -> T {
        /// Gives the host back, also when the plugin panics.
        struct Back<'a>(&'a mut Host);
        impl Drop for Back<'_> {
            fn drop(&mut self) {
                if let Some(host) = HOST.with_borrow_mut(Option::take) {
                    *self.0 = host;
                }
            }
        }
        HOST.with_borrow_mut(|slot| {
            assert!(slot.is_none(), "a plugin runs already in this thread");
            *slot = Some(std::mem::take(self));
        });
        let back = Back(self);
        let answer = plugin();
        drop(back);
        answer
    }

    fn granted(&self, grant: &str) -> Result<(), Failure> {
        if self.denied.contains(grant) {
            return Err(Failure::Denied(format!("{grant} is not granted")));
        }
        Ok(())
    }

    fn on_the_line(&self) -> Result<(), Failure> {
        if self.hung_up { Err(Failure::HungUp) } else { Ok(()) }
    }

    /// The next key; none: the wait ran out.
    fn key(&mut self) -> Result<Option<char>, Failure> {
        match self.keys.pop_front() {
            Some('!') => {
                self.hung_up = true;
                Err(Failure::HungUp)
            }
            key => Ok(key.filter(|key| *key != '-')),
        }
    }

    pub(crate) fn log(&mut self, level: Level, message: &str) {
        self.log.push((level, message.into()));
    }

    pub(crate) fn setting(&mut self, name: &str) -> Option<String> {
        self.settings.get(name).map(|texts| texts.join("\n"))
    }

    pub(crate) fn setting_list(&mut self, name: &str) -> Vec<String> {
        self.settings.get(name).cloned().unwrap_or_default()
    }

    pub(crate) fn kv_get(&mut self, key: &str) -> Result<Option<String>, Failure> {
        self.granted("kv")?;
        Ok(self.kv.get(key).cloned())
    }

    pub(crate) fn kv_set(&mut self, key: &str, value: &str, _ttl: Option<u32>) -> Result<(), Failure> {
        self.granted("kv")?;
        self.kv.insert(key.into(), value.into());
        Ok(())
    }

    pub(crate) fn kv_delete(&mut self, key: &str) -> Result<bool, Failure> {
        self.granted("kv")?;
        Ok(self.kv.remove(key).is_some())
    }

    pub(crate) fn kv_increment(&mut self, key: &str, by: i64, _ttl: Option<u32>) -> Result<i64, Failure> {
        self.granted("kv")?;
        let old = self.kv.get(key).map_or(Ok(0), |text| text.parse::<i64>());
        let old = old.map_err(|_| Failure::Invalid(format!("the value of {key} is not a number")))?;
        let sum = old.checked_add(by).ok_or(Failure::Invalid("the sum is too large".into()))?;
        self.kv.insert(key.into(), sum.to_string());
        Ok(sum)
    }

    pub(crate) fn contact(&mut self, number: &str) -> Result<Option<Contact>, Failure> {
        self.granted("contacts")?;
        Ok(self.contacts.iter().find(|c| c.numbers.iter().any(|n| n == number)).cloned())
    }

    pub(crate) fn http(&mut self, request: &Request) -> Result<Response, Failure> {
        self.granted("http")?;
        self.web.as_mut().map_or(Err(Failure::Timeout), |web| web(request))
    }

    pub(crate) fn tickets_of(&mut self, number: &str) -> Result<Vec<Ticket>, Failure> {
        self.granted("tickets")?;
        Ok(self.tickets.get(number).cloned().unwrap_or_default())
    }

    pub(crate) fn comment(&mut self, id: &str, text: &str) -> Result<(), Failure> {
        self.granted("tickets")?;
        if !self.tickets.values().flatten().any(|ticket| ticket.id == id) {
            return Err(Failure::NotFound);
        }
        self.comments.push((id.into(), text.into()));
        Ok(())
    }

    pub(crate) fn answer(&mut self) -> Result<(), Failure> {
        self.on_the_line()
    }

    pub(crate) fn play(&mut self, prompts: &[Prompt], keys: &str) -> Result<Option<String>, Failure> {
        self.on_the_line()?;
        self.heard.extend_from_slice(prompts);
        if self.keys.front().is_some_and(|key| *key == '!' || keys.contains(*key)) {
            return Ok(self.key()?.map(String::from));
        }
        Ok(None)
    }

    pub(crate) fn say(&mut self, prompts: &[Prompt]) -> Result<(), Failure> {
        self.play(prompts, "").map(|_| ())
    }

    pub(crate) fn gather(&mut self, options: &GatherOptions) -> Result<Gathered, Failure> {
        self.on_the_line()?;
        self.heard.extend_from_slice(&options.prompts);
        let mut digits = String::new();
        while digits.len() < usize::from(options.max_digits) {
            let Some(key) = self.key()? else { break };
            if options.terminators.contains(key) {
                return Ok(Gathered { digits, terminator: Some(key.into()) });
            }
            digits.push(key);
        }
        Ok(Gathered { digits, terminator: None })
    }

    pub(crate) fn record(&mut self, seconds: u32, _ends: &str, _beep: bool) -> Result<Recording, Failure> {
        self.on_the_line()?;
        Ok(Recording { id: "recording-1".into(), milliseconds: seconds.min(3) * 1000 })
    }

    pub(crate) fn dial(&mut self, target: &Target, timeout: u32) -> Result<DialStatus, Failure> {
        self.on_the_line()?;
        self.dialled.push((target.clone(), timeout));
        Ok(self.dials.pop_front().unwrap_or(DialStatus::NoAnswer))
    }

    pub(crate) fn variable(&mut self, name: &str) -> Result<Option<String>, Failure> {
        self.on_the_line()?;
        Ok(self.variables.get(name).cloned())
    }

    pub(crate) fn set_variable(&mut self, name: &str, value: &str) -> Result<(), Failure> {
        self.on_the_line()?;
        self.variables.insert(name.into(), value.into());
        Ok(())
    }

    pub(crate) fn now(&mut self) -> Instant {
        self.now
    }
}

/// 12 March 2026, a Thursday, 10:20:00 in New York.
const AT: Instant = 1_773_325_200_000;

fn wall() -> WallTime {
    WallTime { year: 2026, month: 3, day: 12, weekday: 4, hour: 10, minute: 20, second: 0, offset: -240 }
}

/// A call from this number, to change as the test needs; an empty one is withheld.
pub fn call(caller: &str) -> Call {
    Call {
        id: "01kkgz3n0a5m9t6w2v8x4c7d1e".into(),
        linked_id: "1773325200.42".into(),
        direction: Direction::Inbound,
        caller: Party { number: Some(caller.to_owned()).filter(|number| !number.is_empty()), name: None },
        dialled: "+15550001006".into(),
        language: "en".into(),
        at: AT,
        local: wall(),
        seed: 42,
        variables: Vec::new(),
    }
}

/// An event of this kind with this JSON text as its data, to change as the test needs.
pub fn event(kind: &str, data: &str) -> Event {
    Event {
        id: "evt_01kkgz3n0a5m9t6w2v8x4c7d1f".into(),
        kind: kind.into(),
        at: AT,
        local: wall(),
        key: "call:01kkgz3n0a5m9t6w2v8x4c7d1e".into(),
        sequence: 3,
        seed: 42,
        data: data.into(),
    }
}

/// A contact with this number and these tags.
pub fn contact(number: &str, tags: &[&str]) -> Contact {
    Contact {
        id: "contact-1".into(),
        name: "Ada Example".into(),
        company: None,
        numbers: vec![number.into()],
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
        fields: Vec::<Field>::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{call_control, kv, log, settings};

    #[test]
    fn a_plugin_sees_its_host_and_the_host_what_it_did() {
        let mut host = Host::default();
        host.set("list", &["a", "b"]);
        host.denied.insert("kv".into());
        host.run(|| {
            assert_eq!(settings::get("list").as_deref(), Some("a\nb"));
            assert_eq!(settings::get_list("none"), [""; 0]);
            assert_eq!(kv::get("x"), Err(Failure::Denied("kv is not granted".into())));
            log::warn("odd");
        });
        assert_eq!(host.log, [(Level::Warn, "odd".to_owned())]);
        host.denied.clear();
        assert_eq!(host.run(|| [kv::increment("n", 2, None), kv::increment("n", 3, None)]), [Ok(2), Ok(5)]);
    }

    #[test]
    fn keys_are_pressed_one_after_another() {
        let mut host = Host::default();
        host.press("47#-1!");
        host.run(|| {
            let gather = || call_control::gather(&GatherOptions::digits(4, vec![Prompt::sound("beep")]));
            assert_eq!(gather().unwrap(), Gathered { digits: "47".into(), terminator: Some("#".into()) });
            assert_eq!(gather().unwrap().digits, "");
            assert_eq!(gather(), Err(Failure::HungUp));
            assert_eq!(call_control::say(&[]), Err(Failure::HungUp));
        });
        assert_eq!(host.heard.len(), 3);
    }
}
