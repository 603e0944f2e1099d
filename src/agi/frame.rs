//! Bytes to answers: lines out of a bounded buffer, and several lines put together to one reply.
//!
//! Pure: knows no socket. How the bytes were split into packets makes no difference.
//!
//! # Where an answer ends
//!
//! Asterisk returns values unescaped, so `GET VARIABLE` of `x⏎y)z` comes as `200 result=1 (x` and `y)z)`. A value
//! ends with the first line whose last byte is `)`. A value with an inner line that ends in `)` is therefore cut
//! short; no reader can tell, since nothing in the stream does. It must not shift later answers, so:
//!
//! - Asterisk writes an answer with one write and then nothing until our next command, except `HANGUP`. Lines
//!   that are there before a command is sent ([`Frames::before_command`]) are answers to nothing. They are counted
//!   and dropped; half a line among them ends the session, for its rest would look like an answer.
//! - Whoever must read a hostile value exactly uses [`super::command::Command::get_framed`]: it makes Asterisk put a
//!   token behind the value, and only `token)` ends it ([`Expect::Framed`]).
//! - A line that starts with `agi_` after the environment proves that the environment was forged: the session ends.
//!   Inside a value too, although a value might in truth hold such a line: it would have to be made for it.

use super::parse::{self, Line, Shape};
use super::reply::{Answer, Reply};
use crate::config::limits::agi as limits;

/// What kind of answer the running command has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expect {
    /// One line; see [`Shape::Status`].
    Status,
    /// A value, perhaps over several lines; see [`Shape::Value`].
    Value,
    /// A value that ends with this token, which is not part of it.
    Framed(Vec<u8>),
}

/// The stream can't be understood any more; the session must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A line, value or usage text without end.
    #[error("a line or value from Asterisk exceeds the limit")]
    TooLong,
    /// A line of the environment where an answer was due.
    #[error("the environment was forged: it went on after its end")]
    Forged,
    /// Half a line stood before a command was sent.
    #[error("bytes from Asterisk that belong to no command")]
    OutOfStep,
}

/// One thing that came from Asterisk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The answer of the running command.
    Reply(Reply),
    /// The caller has hung up. No answer.
    Hangup,
    /// `1xx`: go on waiting.
    Provisional,
    /// A line that is no answer; dropped.
    Stray,
}

/// Received bytes, as lines.
#[derive(Debug)]
pub struct Lines {
    bytes: Vec<u8>,
    /// Bytes before it are done with.
    start: usize,
    /// No line feed stands between `start` and here.
    scanned: usize,
    capacity: usize,
}

impl Lines {
    /// An empty buffer that goes back to `capacity` bytes whenever it is emptied.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { bytes: Vec::with_capacity(capacity), start: 0, scanned: 0, capacity }
    }

    /// Room for new bytes, appended at its end; never grows beyond what one line may have, twice.
    pub fn room(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.scanned -= self.start;
            self.start = 0;
        }
        if self.bytes.is_empty() && self.bytes.capacity() > self.capacity {
            self.bytes = Vec::with_capacity(self.capacity);
        }
        if self.bytes.len() == self.bytes.capacity() {
            self.bytes.reserve_exact(self.bytes.capacity().max(64));
        }
        &mut self.bytes
    }

    /// Sets the capacity that an empty buffer goes back to, bytes.
    pub fn shrink_to(&mut self, capacity: usize) {
        self.capacity = capacity;
        self.bytes.drain(..self.start);
        self.scanned -= self.start;
        self.start = 0;
        self.bytes.shrink_to(capacity);
    }

    /// The next whole line, without its line feed; `None` when there is none yet.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when `limit` bytes hold no line feed.
    pub fn next(&mut self, limit: usize) -> Result<Option<&[u8]>, FrameError> {
        let found = self.bytes[self.scanned..].iter().position(|b| *b == b'\n').map(|at| at + self.scanned);
        let length = found.unwrap_or(self.bytes.len()) - self.start;
        if length >= limit {
            return Err(FrameError::TooLong);
        }
        let Some(end) = found else {
            self.scanned = self.bytes.len();
            return Ok(None);
        };
        let line = self.start..end;
        self.start = end + 1;
        self.scanned = self.start;
        Ok(Some(&self.bytes[line]))
    }

    /// True when no byte is waiting, not even of an unfinished line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.bytes.len()
    }

    /// Bytes of memory held.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.bytes.capacity()
    }
}

/// An answer in the making.
#[derive(Debug, Default)]
enum Part {
    #[default]
    None,
    /// Lines of a value so far, from `200 result=`, with their line feeds.
    Value(Vec<u8>),
    Usage {
        text: Vec<u8>,
        lines: usize,
    },
}

/// Puts lines together to answers. Owns the received bytes.
#[derive(Debug)]
pub struct Frames {
    lines: Lines,
    part: Part,
}

impl Frames {
    /// Starts with a buffer of `capacity` bytes.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { lines: Lines::new(capacity), part: Part::None }
    }

    /// The received bytes.
    pub fn lines(&mut self) -> &mut Lines {
        &mut self.lines
    }

    /// The next event from the bytes received so far while a command is waiting; `None`: read more.
    ///
    /// # Errors
    /// [`FrameError`]: end the session.
    pub fn next(&mut self, expect: &Expect) -> Result<Option<Event>, FrameError> {
        loop {
            let Some(line) = self.lines.next(limits::LINE_BYTES)? else { return Ok(None) };
            match std::mem::take(&mut self.part) {
                Part::None => {}
                Part::Value(mut value) => {
                    if value.len() + line.len() + 1 > limits::LINE_BYTES {
                        return Err(FrameError::TooLong);
                    }
                    if line.starts_with(b"agi_") {
                        return Err(FrameError::Forged);
                    }
                    value.push(b'\n');
                    value.extend_from_slice(line);
                    match complete(&value, expect) {
                        Some(answer) => return Ok(Some(Event::Reply(Reply::Ok(answer)))),
                        None => self.part = Part::Value(value),
                    }
                    continue;
                }
                Part::Usage { text, lines } => {
                    let (part, event) = usage(text, lines, line)?;
                    self.part = part;
                    if event.is_some() {
                        return Ok(event);
                    }
                    continue;
                }
            }
            let shape = if *expect == Expect::Status { Shape::Status } else { Shape::Value };
            return Ok(Some(match parse::line(line, shape) {
                Line::Ok(ok) if matches!(expect, Expect::Framed(_)) && ok.value.is_some() => {
                    match complete(line, expect) {
                        Some(answer) => Event::Reply(Reply::Ok(answer)),
                        None => {
                            self.part = Part::Value(line.to_vec());
                            continue;
                        }
                    }
                }
                Line::Ok(ok) => Event::Reply(Reply::Ok(ok.into())),
                Line::Open => {
                    self.part = Part::Value(line.to_vec());
                    continue;
                }
                Line::UsageStart => {
                    self.part = Part::Usage { text: Vec::new(), lines: 0 };
                    continue;
                }
                // Tolerated anywhere (panoramisk PR#103).
                Line::Empty => continue,
                Line::Hangup => Event::Hangup,
                Line::Provisional => Event::Provisional,
                Line::Unknown510 => Event::Reply(Reply::Unknown),
                Line::Dead511 => Event::Reply(Reply::Dead),
                Line::Usage => Event::Reply(Reply::Usage(Vec::new())),
                Line::Other(code, text) => Event::Reply(Reply::Other(code, text.to_vec())),
                Line::Environment => return Err(FrameError::Forged),
                Line::UsageEnd | Line::Stray => Event::Stray,
            }));
        }
    }

    /// Looks at what came while no command was running: `(hang-up seen, stray lines dropped)`.
    ///
    /// # Errors
    /// [`FrameError`]: end the session.
    pub fn before_command(&mut self) -> Result<(bool, u64), FrameError> {
        let (mut hangup, mut strays) = (false, 0);
        while let Some(line) = self.lines.next(limits::LINE_BYTES)? {
            match parse::line(line, Shape::Status) {
                Line::Hangup => hangup = true,
                Line::Empty => {}
                Line::Environment => return Err(FrameError::Forged),
                _ => strays += 1,
            }
        }
        // The start of a HANGUP line may be all that has come; anything else half is half of an answer to nothing.
        let rest = &self.lines.bytes[self.lines.start..];
        if b"HANGUP".starts_with(rest) { Ok((hangup, strays)) } else { Err(FrameError::OutOfStep) }
    }
}

/// The answer in `text` (which may hold line feeds) if it is whole.
fn complete(text: &[u8], expect: &Expect) -> Option<Answer> {
    let Line::Ok(ok) = parse::line(text, Shape::Value) else { return None };
    let mut answer = Answer::from(ok);
    if let Expect::Framed(token) = expect {
        let value = answer.value.as_mut()?;
        if !value.ends_with(token) {
            return None;
        }
        value.truncate(value.len() - token.len());
    }
    Some(answer)
}

fn usage(mut text: Vec<u8>, lines: usize, line: &[u8]) -> Result<(Part, Option<Event>), FrameError> {
    match parse::line(line, Shape::Status) {
        Line::UsageEnd => return Ok((Part::None, Some(Event::Reply(Reply::Usage(text))))),
        Line::Hangup => return Ok((Part::Usage { text, lines }, Some(Event::Hangup))),
        Line::Environment => return Err(FrameError::Forged),
        _ => {}
    }
    if lines >= limits::USAGE_LINES || text.len() + line.len() >= limits::LINE_BYTES {
        return Err(FrameError::TooLong);
    }
    text.extend_from_slice(line);
    text.push(b'\n');
    Ok((Part::Usage { text, lines: lines + 1 }, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(bytes: &[u8], expect: &Expect) -> Vec<Event> {
        let mut frames = Frames::new(64);
        let mut all = Vec::new();
        for byte in bytes {
            frames.lines().room().push(*byte);
            while let Some(event) = frames.next(expect).unwrap() {
                all.push(event);
            }
        }
        all
    }

    fn value(text: &str) -> Event {
        let answer = Answer { result: b"1".to_vec(), value: Some(text.into()), ..Answer::default() };
        Event::Reply(Reply::Ok(answer))
    }

    #[test]
    fn a_value_may_span_lines() {
        assert_eq!(events(b"200 result=1 (x\ny)\n", &Expect::Value), [value("x\ny")]);
        assert_eq!(events(b"200 result=1 (\n\nHANGUP\n)\n", &Expect::Value), [value("\n\nHANGUP\n")]);
        let cut = events(b"200 result=1 (a)\nb)\n", &Expect::Value);
        assert_eq!(cut, [value("a"), Event::Stray], "the documented ambiguity");
    }

    #[test]
    fn a_framed_value_is_exact() {
        let expect = Expect::Framed(b"~7f".to_vec());
        let forged = b"200 result=1 (a)\n200 result=1 (evil)\nHANGUP~7f)\n";
        assert_eq!(events(forged, &expect), [value("a)\n200 result=1 (evil)\nHANGUP")]);
        assert_eq!(events(b"200 result=1 (~7f)\n", &expect), [value("")]);
    }

    #[test]
    fn usage_hangup_and_provisional() {
        let usage = b"HANGUP\n520-Invalid\nSets\nHANGUP\n200 result=1\n520 End of proper usage.\n";
        let expected =
            [Event::Hangup, Event::Hangup, Event::Reply(Reply::Usage(b"Sets\n200 result=1\n".to_vec()))];
        assert_eq!(events(usage, &Expect::Status), expected);
        let gosub = events(b"100 result=0 Trying...\n\n200 result=0 Gosub complete\n", &Expect::Status);
        assert!(matches!(&gosub[..], [Event::Provisional, Event::Reply(Reply::Ok(_))]), "{gosub:?}");
    }

    #[test]
    fn nothing_is_endless() {
        let mut frames = Frames::new(64);
        frames.lines().room().extend(vec![b'x'; limits::LINE_BYTES]);
        assert_eq!(frames.next(&Expect::Status), Err(FrameError::TooLong));
        let mut frames = Frames::new(64);
        frames.lines().room().extend_from_slice(b"520-x\n");
        frames.lines().room().extend(b"y\n".repeat(limits::USAGE_LINES + 1));
        assert_eq!(frames.next(&Expect::Status), Err(FrameError::TooLong));
        let mut frames = Frames::new(64);
        frames.lines().room().extend_from_slice(b"200 result=1 (\n");
        frames.lines().room().extend(b"y\n".repeat(limits::LINE_BYTES / 2));
        assert_eq!(frames.next(&Expect::Value), Err(FrameError::TooLong));
    }

    #[test]
    fn what_comes_between_commands() {
        let check = |bytes: &[u8]| {
            let mut frames = Frames::new(64);
            frames.lines().room().extend_from_slice(bytes);
            frames.before_command()
        };
        assert_eq!(check(b""), Ok((false, 0)));
        assert_eq!(check(b"HANGUP\nHAN"), Ok((true, 0)));
        assert_eq!(check(b"b)\n200 result=1 (evil)\n"), Ok((false, 2)));
        assert_eq!(check(b"b)\n200 res"), Err(FrameError::OutOfStep));
        assert_eq!(check(b"HACK\nagi_calleridname: x\n"), Err(FrameError::Forged));
    }

    #[test]
    fn memory_goes_back() {
        let mut lines = Lines::new(64);
        lines.room().extend(vec![b'x'; 4096]);
        lines.room().push(b'\n');
        assert_eq!(lines.next(8192).unwrap().map(<[u8]>::len), Some(4096));
        assert!(lines.is_empty());
        lines.room();
        assert_eq!(lines.capacity(), 64);
    }
}
