//! Calls into the PBX: a builder for what the caller does, and what became of it.

use super::asterisk::Pbx;
use super::phone::Sipp;
use super::ports;
use super::scenario::{self, Uac};
use super::transfer::{self, Dialog};
use super::wait;
use std::time::Duration;

/// A call as the caller means it.
#[derive(Clone)]
pub(crate) struct Call {
    to: String,
    from: String,
    name: String,
    diverted_by: Option<String>,
    login: Option<(String, String)>,
    address: Option<&'static str>,
    digits: Vec<(char, u64)>,
    stay_ms: u64,
    patience_ms: u64,
    calls: u32,
    rate: u32,
}

/// How one call went, as the caller saw it. Times are from the INVITE.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CallResult {
    /// When the call was answered.
    pub(crate) answered_after: Option<Duration>,
    /// The SIP status that refused it.
    pub(crate) refused: Option<u16>,
    /// When the refusal, the other side's BYE or our own BYE came.
    pub(crate) ended_after: Option<Duration>,
    /// The other side hung up, not the caller.
    pub(crate) hung_up_by_pbx: bool,
}

impl Call {
    /// A call from the carrier's side to `to`, a SIP user part taken as it is.
    pub(crate) fn to(to: &str) -> Self {
        Self {
            to: to.to_owned(),
            from: "+15557770009".to_owned(),
            name: "Caller".to_owned(),
            diverted_by: None,
            login: None,
            address: None,
            digits: Vec::new(),
            stay_ms: 1_000,
            patience_ms: 25_000,
            calls: 1,
            rate: 1,
        }
    }

    /// The caller's number: a SIP user part taken as it is.
    pub(crate) fn from(mut self, from: &str) -> Self {
        from.clone_into(&mut self.from);
        self
    }

    /// The caller's display name, taken as it is between quotes.
    pub(crate) fn name(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The call was forwarded by this number: a SIP user part taken as it is.
    pub(crate) fn diverted_by(mut self, user: &str) -> Self {
        self.diverted_by = Some(user.to_owned());
        self
    }

    /// Calls from a registered phone instead: authenticates with the demo's password.
    pub(crate) fn by_phone(mut self, endpoint: &str) -> Self {
        endpoint.clone_into(&mut self.from);
        self.signs_in(endpoint, "hookswitch-demo-1")
    }

    /// Authenticates with this name and password.
    pub(crate) fn signs_in(mut self, name: &str, password: &str) -> Self {
        self.login = Some((name.to_owned(), password.to_owned()));
        self
    }

    /// Comes from another address of this machine than 127.0.0.1.
    pub(crate) fn out_of(mut self, address: &'static str) -> Self {
        self.address = Some(address);
        self
    }

    /// Presses keys, each `after_ms` after the step before it.
    pub(crate) fn digits(mut self, keys: &str, after_ms: u64) -> Self {
        self.digits.extend(keys.chars().map(|key| (key, after_ms)));
        self
    }

    /// Stays this long after the last key, then hangs up.
    pub(crate) fn stay(mut self, ms: u64) -> Self {
        self.stay_ms = ms;
        self
    }

    /// Gives up (CANCEL) when not answered after this long.
    pub(crate) fn patience(mut self, ms: u64) -> Self {
        self.patience_ms = ms;
        self
    }

    /// Makes `calls` such calls, `rate` in a second.
    pub(crate) fn times(mut self, calls: u32, rate: u32) -> Self {
        (self.calls, self.rate) = (calls, rate);
        self
    }

    /// Starts the call and returns while it goes on.
    pub(crate) fn start(&self, pbx: &Pbx) -> Calling {
        let [port] = ports::free();
        let mut arguments = vec![
            format!("127.0.0.1:{}", pbx.sip_port()),
            "-m".to_owned(),
            self.calls.to_string(),
            "-l".to_owned(),
            self.calls.to_string(),
            "-r".to_owned(),
            self.rate.to_string(),
        ];
        if let Some(address) = self.address {
            arguments.extend(["-i", address, "-mi", address].map(str::to_owned));
        }
        let sipp = Sipp::start(port, &arguments, |audio| {
            scenario::uac(&Uac {
                to: &self.to,
                from: &self.from,
                name: &self.name,
                diverted_by: self.diverted_by.as_deref(),
                login: self.login.as_ref().map(|(name, password)| (name.as_str(), password.as_str())),
                digits: &self.digits,
                stay_ms: self.stay_ms,
                patience_ms: self.patience_ms,
                audio,
            })
        });
        Calling { sipp, calls: self.calls }
    }

    /// Makes the call and waits for its end.
    pub(crate) fn run(&self, pbx: &Pbx) -> CallResult {
        self.run_all(pbx).remove(0)
    }

    /// Makes all calls of [`Call::times`] and waits for their end.
    pub(crate) fn run_all(&self, pbx: &Pbx) -> Vec<CallResult> {
        self.start(pbx).finish()
    }

    /// Makes the call, which must be answered.
    pub(crate) fn expect_answered(&self, pbx: &Pbx) -> CallResult {
        let result = self.run(pbx);
        assert!(result.answered_after.is_some(), "not answered: {result:?}");
        result
    }

    /// Makes the call, which must be refused with `status`.
    pub(crate) fn expect_refused(&self, pbx: &Pbx, status: u16) -> CallResult {
        let result = self.run(pbx);
        assert_eq!(result.refused, Some(status), "{result:?}");
        result
    }
}

/// Calls that are going on.
pub(crate) struct Calling {
    sipp: Sipp,
    calls: u32,
}

impl Calling {
    /// Waits until the call is answered; what names its dialogue.
    pub(crate) fn wait_dialog(&self) -> Dialog {
        wait::until("the call to be answered", || {
            transfer::dialogs(&self.sipp.log(), transfer::Side::Called).pop()
        })
    }

    /// Waits for the end of all calls.
    ///
    /// # Panics
    /// When a call took a turn that its scenario does not know.
    pub(crate) fn finish(mut self) -> Vec<CallResult> {
        self.sipp.wait();
        let results = read(&self.sipp.log(), self.calls);
        let odd = results.iter().any(|result| result.ended_after.is_none());
        assert!(!odd, "a call went astray: {results:?}\n{}", self.sipp.errors());
        results
    }
}

/// Reads back the lines `<call> <step> <milliseconds> [<status>]` of [`scenario::uac`].
fn read(lines: &[String], calls: u32) -> Vec<CallResult> {
    let mut results = vec![CallResult::default(); calls as usize];
    let mut invited = vec![0; calls as usize];
    for line in lines {
        if line.starts_with("dialog ") {
            continue;
        }
        let words: Vec<&str> = line.split_whitespace().collect();
        let [number, step, tick, rest @ ..] = words.as_slice() else { continue };
        let index = number.parse::<usize>().unwrap() - 1;
        let tick: u64 = tick.parse().unwrap();
        let (result, invited) = (&mut results[index], &mut invited[index]);
        let since = Duration::from_millis(tick.saturating_sub(*invited));
        match *step {
            "invite" => *invited = tick,
            "answered" => result.answered_after = Some(since),
            "refused" => {
                result.refused = rest.first().and_then(|code| code.parse().ok());
                result.ended_after = Some(since);
            }
            "bye" => result.ended_after = Some(since),
            "gone" => {
                result.hung_up_by_pbx = result.ended_after.is_none();
                result.ended_after.get_or_insert(since);
            }
            _ => {}
        }
    }
    results
}
