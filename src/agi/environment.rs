//! The environment: the lines that Asterisk writes before it takes the first command.
//!
//! Asterisk writes caller-chosen bytes unescaped, so a line feed in a SIP user part (`sip:5%0Aagi_x...`) forges
//! lines. The guard: every key once, in the one order in which `res_agi.c` writes them, `agi_threadid` before the
//! blank line, arguments numbered without a gap. Forged lines must then either break the order here, or end the
//! environment early, in which case the true lines that follow start with `agi_` where an answer is due, and
//! [`super::frame`] ends the session. `agi_network_script` comes before any caller-chosen byte: what it says is true.

use super::parse;
use crate::config::limits::agi as limits;

/// Keys in the order of `res_agi.c` (`setup_env`), without `agi_`.
pub const KEYS: [&str; 22] = [
    "network",
    "network_script",
    "request",
    "channel",
    "language",
    "type",
    "uniqueid",
    "version",
    "callerid",
    "calleridname",
    "callingpres",
    "callingani2",
    "callington",
    "callingtns",
    "dnid",
    "rdnis",
    "context",
    "extension",
    "priority",
    "enhanced",
    "accountcode",
    "threadid",
];
/// The one key that may be missing: Asterisk leaves it out when the URL has no path.
const SCRIPT: usize = 1;

/// Why an environment was not taken. The session must end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EnvError {
    /// A line that Asterisk would not have written at this place.
    #[error("forged environment: line {line} where agi_{expected} was due")]
    Forged {
        /// Number of the line, from 1.
        line: usize,
        /// The key (without `agi_`) that was due.
        expected: &'static str,
    },
    /// A line, or the whole, is longer than any Asterisk writes.
    #[error("environment too large")]
    TooLarge,
}

/// What a session knows of its call: values in one allocation, raw bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct Environment {
    bytes: Vec<u8>,
    /// End of each fixed value in `bytes`; it starts where the one before ends.
    ends: [u32; KEYS.len()],
    has_script: bool,
    arguments: Vec<u32>,
}

impl Environment {
    /// The value of a key, written without `agi_`: `callerid`, `extension`, `arg_1`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        if let Some(number) = key.strip_prefix("arg_") {
            return self.arg(number.parse().ok()?);
        }
        let index = KEYS.iter().position(|known| *known == key)?;
        if index == SCRIPT && !self.has_script {
            return None;
        }
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        self.bytes.get(start as usize..self.ends[index] as usize)
    }

    /// The value of a key for people: bytes that are no UTF-8 become U+FFFD. Missing keys are empty.
    #[must_use]
    pub fn lossy(&self, key: &str) -> String {
        String::from_utf8_lossy(self.get(key).unwrap_or_default()).into_owned()
    }

    /// The path of the URL, without the leading slash and without the query; empty when there is none.
    #[must_use]
    pub fn script(&self) -> &[u8] {
        parse::path(self.get("network_script").unwrap_or_default())
    }

    /// The value of `name` in the query of the URL, not decoded.
    #[must_use]
    pub fn query(&self, name: &str) -> Option<&[u8]> {
        parse::query(self.get("network_script")?, name.as_bytes())
    }

    /// Names of the query that begin with `prefix`, without it, and their values, not decoded.
    pub fn queries<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let script = self.get("network_script").unwrap_or_default();
        parse::pairs(script)
            .filter_map(move |(key, value)| Some((key.strip_prefix(prefix.as_bytes())?, value)))
    }

    /// An argument of the dialplan's `AGI()`, from 1. Raw; may be empty.
    #[must_use]
    pub fn arg(&self, number: usize) -> Option<&[u8]> {
        let index = number.checked_sub(1)?;
        let end = *self.arguments.get(index)?;
        let start = index.checked_sub(1).map_or(self.ends[KEYS.len() - 1], |before| self.arguments[before]);
        self.bytes.get(start as usize..end as usize)
    }

    /// Number of arguments.
    #[must_use]
    pub fn args(&self) -> usize {
        self.arguments.len()
    }
}

impl std::fmt::Debug for Environment {
    /// Caller numbers and names are personal data: only what identifies the call is shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Environment")
            .field("channel", &self.lossy("channel"))
            .field("uniqueid", &self.lossy("uniqueid"))
            .field("network_script", &self.lossy("network_script"))
            .finish_non_exhaustive()
    }
}

/// Takes an environment line by line.
#[derive(Debug)]
pub struct Scanner {
    environment: Environment,
    /// Index of the next fixed key; `KEYS.len()` when only arguments may follow.
    next: usize,
    lines: usize,
}

impl Default for Scanner {
    fn default() -> Self {
        let environment = Environment {
            bytes: Vec::with_capacity(512),
            ends: [0; KEYS.len()],
            has_script: false,
            arguments: Vec::new(),
        };
        Self { environment, next: 0, lines: 0 }
    }
}

impl Scanner {
    /// True until the first line was taken. Only so long may a `HANGUP` line stand in front: Asterisk writes the
    /// whole environment before it looks for a hang-up, so inside it the word can only come from a value.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.lines == 0
    }

    /// Takes one line without its line feed; true when it was the blank line that ends the environment.
    ///
    /// # Errors
    /// [`EnvError::Forged`] for a line out of order, [`EnvError::TooLarge`] beyond the limits.
    pub fn line(&mut self, line: &[u8]) -> Result<bool, EnvError> {
        self.lines += 1;
        if self.lines > limits::ENV_LINES || line.len() >= limits::ENV_LINE_BYTES {
            return Err(EnvError::TooLarge);
        }
        if line.is_empty() {
            return if self.next == KEYS.len() { Ok(true) } else { Err(self.forged()) };
        }
        let Some((key, value)) = parse::environment_line(line) else { return Err(self.forged()) };
        if self.environment.bytes.len() + value.len() > limits::ENV_BYTES {
            return Err(EnvError::TooLarge);
        }
        if self.next < KEYS.len() {
            self.fixed(key, value)?
        } else {
            self.argument(key, value)?
        }
        Ok(false)
    }

    /// The environment, after [`Scanner::line`] answered true.
    #[must_use]
    pub fn finish(mut self) -> Environment {
        self.environment.bytes.shrink_to_fit();
        self.environment.arguments.shrink_to_fit();
        self.environment
    }

    fn fixed(&mut self, key: &[u8], value: &[u8]) -> Result<(), EnvError> {
        if self.next == SCRIPT {
            if key == KEYS[SCRIPT].as_bytes() {
                self.environment.has_script = true;
            } else {
                self.environment.ends[SCRIPT] = self.push(b"");
                self.next += 1;
            }
        }
        if key != KEYS[self.next].as_bytes() {
            return Err(self.forged());
        }
        self.environment.ends[self.next] = self.push(value);
        self.next += 1;
        Ok(())
    }

    fn argument(&mut self, key: &[u8], value: &[u8]) -> Result<(), EnvError> {
        let number = key.strip_prefix(b"arg_").filter(|digits| digits.first() != Some(&b'0'));
        let due = self.environment.arguments.len() + 1;
        if number.and_then(parse::number) != i64::try_from(due).ok() {
            return Err(self.forged());
        }
        let end = self.push(value);
        self.environment.arguments.push(end);
        Ok(())
    }

    fn push(&mut self, value: &[u8]) -> u32 {
        self.environment.bytes.extend_from_slice(value);
        // ENV_BYTES bounds the length far below u32::MAX.
        u32::try_from(self.environment.bytes.len()).unwrap_or(u32::MAX)
    }

    fn forged(&self) -> EnvError {
        EnvError::Forged { line: self.lines, expected: KEYS.get(self.next).copied().unwrap_or("arg_N") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Result<Option<Environment>, EnvError> {
        let mut scanner = Scanner::default();
        for line in text.lines() {
            if scanner.line(line.as_bytes())? {
                return Ok(Some(scanner.finish()));
            }
        }
        Ok(None)
    }

    fn sample() -> String {
        let mut text: String = KEYS.iter().map(|key| format!("agi_{key}: v-{key}\n")).collect();
        text = text.replace("v-network_script", "route?did=5550100&t=acme");
        text + "agi_arg_1: a\nagi_arg_2: \nagi_arg_3: x: y\n\n"
    }

    #[test]
    fn values_by_key() {
        let env = scan(&sample()).unwrap().unwrap();
        for key in KEYS.iter().filter(|key| **key != "network_script") {
            assert_eq!(env.get(key), Some(format!("v-{key}").as_bytes()), "{key}");
        }
        assert_eq!(env.script(), b"route");
        assert_eq!(env.query("did"), Some(&b"5550100"[..]));
        assert_eq!(env.query("t"), Some(&b"acme"[..]));
        assert_eq!(env.queries("d").collect::<Vec<_>>(), [(&b"id"[..], &b"5550100"[..])]);
        assert_eq!(env.args(), 3);
        assert_eq!((env.arg(1), env.arg(2)), (Some(&b"a"[..]), Some(&b""[..])));
        assert_eq!((env.get("arg_3"), env.arg(4), env.arg(0)), (Some(&b"x: y"[..]), None, None));
        assert_eq!(env.get("nothing"), None);
        assert!(!format!("{env:?}").contains("v-callerid"), "caller data in a log line");
    }

    #[test]
    fn the_script_may_be_missing_and_nothing_else() {
        let env =
            scan(&sample().replace("agi_network_script: route?did=5550100&t=acme\n", "")).unwrap().unwrap();
        assert_eq!((env.get("network_script"), env.script(), env.query("did")), (None, &b""[..], None));
        assert_eq!(env.lossy("request"), "v-request");
        for key in KEYS.iter().filter(|key| **key != "network_script") {
            let text: String = sample()
                .lines()
                .filter(|l| !l.starts_with(&format!("agi_{key}:")))
                .fold(String::new(), |text, line| text + line + "\n");
            assert!(matches!(scan(&text), Err(EnvError::Forged { .. })), "{key} missing");
        }
    }

    #[test]
    fn forged_lines() {
        for (what, from, to) in [
            ("unknown key", "agi_dnid: ", "agi_injected: 1\nagi_dnid: "),
            ("twice", "agi_dnid: ", "agi_callerid: 2\nagi_dnid: "),
            ("no key", "agi_dnid: ", "HACK\nagi_dnid: "),
            ("hang-up inside", "agi_dnid: ", "HANGUP\nagi_dnid: "),
            ("ended early", "agi_dnid: ", "\nagi_dnid: "),
            ("argument too early", "agi_dnid: ", "agi_arg_1: x\nagi_dnid: "),
            ("gap", "agi_arg_2: ", "agi_arg_3: "),
            ("argument twice", "agi_arg_2: ", "agi_arg_1: "),
            ("leading zero", "agi_arg_2: ", "agi_arg_02: "),
            ("key after the end", "agi_arg_2: ", "agi_extension: "),
        ] {
            let text = sample().replace(from, to);
            assert!(matches!(scan(&text), Err(EnvError::Forged { .. })), "{what}");
        }
    }

    #[test]
    fn limits_hold() {
        let long = "x".repeat(limits::ENV_LINE_BYTES);
        assert_eq!(scan(&sample().replace("v-dnid", &long)), Err(EnvError::TooLarge));
        let many: String = (4..200).map(|n| format!("agi_arg_{n}: \n")).collect();
        assert_eq!(scan(&(sample().trim_end().to_owned() + "\n" + &many)), Err(EnvError::TooLarge));
    }
}
