//! One AGI command as bytes on the wire, and what must be known to wait for its answer.
//!
//! Invariant: a [`Command`] is exactly one line. No value can add a word or a line to it, because every free word is
//! quoted here and bytes that Asterisk can't carry (line feed, carriage return, NUL) are refused.
//! The commands themselves are in [`super::catalogue`].

use std::time::Duration;

use super::frame::Expect;
use crate::config::limits::agi as limits;

/// Why a command can't be built. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// A line feed or carriage return would start another command, a NUL would cut the line; AGI can't escape them.
    #[error("a value holds a line feed, a carriage return or a NUL")]
    Unsendable,
    /// Longer than the oldest supported Asterisk reads as one line.
    #[error("the command is longer than {} bytes", limits::COMMAND_BYTES)]
    TooLong,
    /// More words than Asterisk counts safely (asterisk/asterisk#2069).
    #[error("the command has more than {} words", limits::COMMAND_WORDS)]
    TooManyWords,
    /// A token of [`Command::get_framed`] that could be mistaken.
    #[error("the token needs 8 or more letters and digits")]
    Token,
}

/// How long the answer of a command may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deadline {
    /// No media, no waiting: [`limits::QUICK_ANSWER_TIME`].
    Quick,
    /// Plays or listens: its own time-out plus [`limits::MEDIA_ANSWER_TIME`].
    Media(Duration),
    /// Runs as long as a call may run, such as `EXEC Dial` (asterisk-java#274: a read time-out cuts calls).
    /// A dead peer is found by TCP keep-alive.
    Endless,
}

/// A command, ready to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct Command {
    line: Vec<u8>,
    deadline: Deadline,
    dead: bool,
    expect: Expect,
    trailing_usage: bool,
}

impl Command {
    /// The bytes on the wire, line feed included.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.line
    }

    /// How long to wait for the answer.
    #[must_use]
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// True when Asterisk takes the command after the caller has hung up.
    #[must_use]
    pub fn permitted_after_hangup(&self) -> bool {
        self.dead
    }

    /// What kind of answer comes.
    #[must_use]
    pub fn expect(&self) -> &Expect {
        &self.expect
    }

    /// True for EXEC: Asterisk follows an application's `result=1` with a usage block that is no answer.
    #[must_use]
    pub fn has_trailing_usage(&self) -> bool {
        self.trailing_usage
    }

    /// The same command with another deadline.
    #[must_use]
    pub fn with_deadline(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }
}

impl std::fmt::Debug for Command {
    /// Only the first words: the rest may be personal data.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = self.line.iter().position(|b| matches!(b, b'"' | b'\n')).unwrap_or_default();
        write!(f, "Command({} ...)", String::from_utf8_lossy(&self.line[..end]).trim_end())
    }
}

/// Builds one command, word by word.
#[derive(Debug)]
pub(super) struct Builder {
    line: Vec<u8>,
    words: usize,
    error: Option<CommandError>,
    deadline: Deadline,
    dead: bool,
    expect: Expect,
    trailing_usage: bool,
}

impl Builder {
    /// Starts with the command's own words, which are fixed text.
    pub(super) fn new(name: &'static str) -> Self {
        let mut line = Vec::with_capacity(64);
        line.extend_from_slice(name.as_bytes());
        Self {
            line,
            words: name.split(' ').count(),
            error: None,
            deadline: Deadline::Quick,
            dead: false,
            expect: Expect::Status,
            trailing_usage: false,
        }
    }

    /// Adds a word of any bytes, always in quotes.
    pub(super) fn word(mut self, word: impl AsRef<[u8]>) -> Self {
        let word = word.as_ref();
        self.words += 1;
        self.line.extend_from_slice(b" \"");
        for byte in word {
            match byte {
                b'\n' | b'\r' | 0 => self.error = Some(CommandError::Unsendable),
                b'"' | b'\\' => self.line.extend_from_slice(&[b'\\', *byte]),
                _ => self.line.push(*byte),
            }
        }
        self.line.push(b'"');
        self
    }

    /// Adds an application's or variable's name: bare where that is plainly safe, else quoted.
    pub(super) fn name(mut self, name: &str) -> Self {
        if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
            return self.word(name);
        }
        self.words += 1;
        self.line.push(b' ');
        self.line.extend_from_slice(name.as_bytes());
        self
    }

    /// Adds a word if there is one.
    pub(super) fn maybe(self, word: Option<impl AsRef<[u8]>>) -> Self {
        match word {
            Some(word) => self.word(word),
            None => self,
        }
    }

    /// Adds a number, bare.
    pub(super) fn number(mut self, number: i64) -> Self {
        self.words += 1;
        self.line.extend_from_slice(format!(" {number}").as_bytes());
        self
    }

    /// Adds a fixed word, bare.
    pub(super) fn bare(mut self, word: &'static str) -> Self {
        self.words += 1;
        self.line.push(b' ');
        self.line.extend_from_slice(word.as_bytes());
        self
    }

    /// Asterisk takes it after hang-up.
    pub(super) fn dead(mut self) -> Self {
        self.dead = true;
        self
    }

    /// The answer holds free text.
    pub(super) fn value(mut self) -> Self {
        self.expect = Expect::Value;
        self
    }

    /// The answer's value ends with this token.
    pub(super) fn framed(mut self, token: &[u8]) -> Self {
        self.expect = Expect::Framed(token.to_vec());
        if token.len() < 8 || !token.iter().all(u8::is_ascii_alphanumeric) {
            self.error = Some(CommandError::Token);
        }
        self
    }

    /// A usage block may follow the answer.
    pub(super) fn trailing_usage(mut self) -> Self {
        self.trailing_usage = true;
        self
    }

    /// How long the answer may take.
    pub(super) fn within(mut self, deadline: Deadline) -> Self {
        self.deadline = deadline;
        self
    }

    /// Plays or listens, at most so many milliseconds beyond the sound itself; negative or none: for ever.
    pub(super) fn listens(self, ms: i64) -> Self {
        match u64::try_from(ms) {
            Ok(ms) => self.within(Deadline::Media(Duration::from_millis(ms))),
            Err(_) => self.within(Deadline::Endless),
        }
    }

    /// The command.
    pub(super) fn build(mut self) -> Result<Command, CommandError> {
        self.line.push(b'\n');
        if let Some(error) = self.error {
            return Err(error);
        }
        if self.words > limits::COMMAND_WORDS {
            return Err(CommandError::TooManyWords);
        }
        if self.line.len() > limits::COMMAND_BYTES {
            return Err(CommandError::TooLong);
        }
        let Self { line, deadline, dead, expect, trailing_usage, .. } = self;
        Ok(Command { line, deadline, dead, expect, trailing_usage })
    }
}

/// The fewest commands that set these channel variables: `EXEC MSet` for those that it takes unharmed,
/// `SET VARIABLE` for each of the others. The order is kept only within each of the two groups, the MSets first.
///
/// MSet splits its text at commas, minds quotes, backslashes, parentheses and brackets, and would expand `${` when
/// the channel has `AGIEXECFULL=yes`; so it gets names of `A-Z a-z 0-9 _`, `CALLERID(name)` and values without any of
/// `, " \ ( ) [ ] $ ;`, without control bytes, without a space at either end. With more than
/// 24 pairs (99 in other versions) the last one would swallow the rest.
///
/// # Errors
/// [`CommandError`] when a name or value can't be sent at all.
pub fn set_variables(pairs: &[(&str, &str)]) -> Result<Vec<Command>, CommandError> {
    let mut commands = Vec::new();
    let mut singles = Vec::new();
    let mut text = String::new();
    let mut count = 0;
    for (name, value) in pairs {
        if !(msets_name(name) && msets_value(value)) {
            singles.push(Command::set_variable(name, value)?);
            continue;
        }
        let length = name.len() + value.len() + 2;
        if count == limits::MSET_PAIRS || (count > 0 && text.len() + length > limits::MSET_BYTES) {
            commands.push(Command::exec("MSet", Some(&text))?);
            text.clear();
            count = 0;
        }
        if count > 0 {
            text.push(',');
        }
        text.extend([*name, "=", *value]);
        count += 1;
    }
    if count > 0 {
        commands.push(Command::exec("MSet", Some(&text))?);
    }
    commands.append(&mut singles);
    Ok(commands)
}

/// One `EXEC MSet` for all the pairs, or `None` when one command can't carry them (then: [`set_variables`]).
///
/// # Errors
/// [`CommandError`] when a name or value can't be sent at all.
pub fn mset(pairs: &[(&str, &str)]) -> Result<Option<Command>, CommandError> {
    let safe = pairs.iter().all(|(name, value)| msets_name(name) && msets_value(value));
    let mut commands = set_variables(pairs)?;
    Ok(if safe && commands.len() == 1 { commands.pop() } else { None })
}

/// Functions that MSet writes to: their parentheses are balanced, and nothing in them can be made up.
const MSET_FUNCTIONS: [&str; 1] = ["CALLERID(name)"];

fn msets_name(name: &str) -> bool {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    plain || MSET_FUNCTIONS.contains(&name)
}

fn msets_value(value: &str) -> bool {
    let harmless = |b: u8| b >= b' ' && b != 0x7f && !b",\"\\()[]$;".contains(&b);
    value.bytes().all(harmless) && !value.starts_with(' ') && !value.ends_with(' ')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_can_not_break_out() {
        let line = |value: &str| Command::set_variable("HS_TARGET", value).map(|c| c.bytes().to_vec());
        assert_eq!(line("a\" \"b").unwrap(), b"SET VARIABLE HS_TARGET \"a\\\" \\\"b\"\n");
        assert_eq!(line("a\\").unwrap(), b"SET VARIABLE HS_TARGET \"a\\\\\"\n");
        for bad in ["a\nHANGUP", "a\rb", "a\0b"] {
            assert_eq!(line(bad), Err(CommandError::Unsendable));
        }
        assert_eq!(line(&"x".repeat(limits::COMMAND_BYTES)), Err(CommandError::TooLong));
        let exact = limits::COMMAND_BYTES - "SET VARIABLE HS_TARGET \"\"\n".len();
        assert_eq!(line(&"x".repeat(exact)).unwrap().len(), limits::COMMAND_BYTES);
        assert_eq!(line(&"x".repeat(exact + 1)), Err(CommandError::TooLong));
    }

    #[test]
    fn words_are_counted() {
        let build = |n: usize| (0..n).fold(Builder::new("NOOP"), |b, _| b.word("")).build();
        assert!(build(limits::COMMAND_WORDS - 1).is_ok());
        assert_eq!(build(limits::COMMAND_WORDS), Err(CommandError::TooManyWords));
    }

    #[test]
    fn one_mset_where_it_is_safe() {
        let command = mset(&[("HS_ACTION", "queue"), ("HS_TARGET", "acme-support"), ("HS_REASON", "")]);
        let line = "EXEC MSet \"HS_ACTION=queue,HS_TARGET=acme-support,HS_REASON=\"\n";
        assert_eq!(command.unwrap().unwrap().bytes(), line.as_bytes());
        for value in ["a,b", "a\"b", "a\\b", "a(b", "${X}", "a;b", " a", "a ", "a\tb"] {
            assert_eq!(mset(&[("A", "1"), ("B", value)]), Ok(None), "{value}");
            let commands = set_variables(&[("B", value), ("A", "1")]).unwrap();
            assert_eq!(commands[0].bytes(), b"EXEC MSet \"A=1\"\n");
            assert!(commands[1].bytes().starts_with(b"SET VARIABLE B "), "{value}");
        }
        assert_eq!(mset(&[("CALLERID(num)", "x")]), Ok(None));
        let named = mset(&[("CALLERID(name)", "Ada Lovelace"), ("A", "1")]).unwrap().unwrap();
        assert_eq!(named.bytes(), b"EXEC MSet \"CALLERID(name)=Ada Lovelace,A=1\"\n");
        assert_eq!(mset(&[("A", "a\nb")]), Err(CommandError::Unsendable));
        assert_eq!(mset(&[]), Ok(None));
    }

    #[test]
    fn many_variables_are_spread() {
        let long = "v".repeat(600);
        let names: Vec<String> = (0..60).map(|n| format!("V{n}")).collect();
        let small: Vec<_> = names.iter().map(|n| (n.as_str(), "x")).collect();
        assert_eq!(set_variables(&small).unwrap().len(), 60_usize.div_ceil(limits::MSET_PAIRS));
        let big: Vec<_> = names.iter().take(6).map(|n| (n.as_str(), long.as_str())).collect();
        assert_eq!(set_variables(&big).unwrap().len(), 2);
    }

    #[test]
    fn logs_do_not_show_values() {
        assert_eq!(
            format!("{:?}", Command::set_variable("X", "secret").unwrap()),
            "Command(SET VARIABLE X ...)"
        );
    }
}
