//! What the fuzz targets in `fuzz/` run. It lives here so that ordinary tests run the same logic.
//!
//! Each function panics when a promise of this module is broken; that is its only result.

use super::catalogue::ControlKeys;
use super::command::Command;
use super::environment::{EnvError, KEYS, Scanner};
use super::frame::{Event, Expect, FrameError, Frames};
use crate::config::limits::agi as limits;

/// Asterisk's argument splitter (`parse_args` of `res_agi.c`), as a model: a quote switches quoting, a backslash
/// takes the next byte as it is, blanks outside quotes separate.
#[must_use]
pub fn asterisk_words(line: &[u8]) -> Vec<Vec<u8>> {
    let mut words: Vec<Vec<u8>> = Vec::new();
    let (mut quoted, mut escaped, mut blank) = (false, false, true);
    for byte in line {
        match byte {
            b'"' if !escaped => {
                quoted = !quoted;
                if quoted && blank {
                    words.push(Vec::new());
                    blank = false;
                }
                continue;
            }
            b' ' | b'\t' if !quoted && !escaped => {
                blank = true;
                continue;
            }
            b'\\' if !escaped => {
                escaped = true;
                continue;
            }
            _ => {}
        }
        if blank {
            words.push(Vec::new());
            blank = false;
        }
        escaped = false;
        if let Some(word) = words.last_mut() {
            word.push(*byte);
        }
    }
    words
}

/// A value is one word with the same bytes, in a line of its own, or the command is refused.
pub fn quoting(value: &str) {
    let sendable = !value.contains(['\n', '\r', '\0']);
    let check = |command: Result<Command, _>, at: usize, count: usize| match command {
        Ok(command) => {
            let (last, line) = command.bytes().split_last().unwrap_or((&0, &[]));
            assert!(*last == b'\n' && !line.contains(&b'\n'), "one line");
            assert!(command.bytes().len() <= limits::COMMAND_BYTES, "length");
            let words = asterisk_words(line);
            assert_eq!(words.len(), count, "words");
            assert_eq!(words[at], value.as_bytes(), "same bytes");
        }
        Err(_) => {
            assert!(!sendable || value.len() > limits::COMMAND_BYTES / 2 - 100, "refused without a reason")
        }
    };
    check(Command::set_variable("X", value), 3, 4);
    check(Command::set_variable(value, "x"), 2, 4);
    check(Command::exec(value, Some("a")), 1, 3);
    check(Command::exec("App", Some(value)), 2, 3);
    check(Command::get_full_variable(value, Some("c")), 3, 5);
    check(Command::database_put("f", value, "v"), 3, 5);
    check(Command::stream_file(value, "", Some(7)), 2, 5);
    let keys = ControlKeys { skip_ms: 1, forward: value, rewind: "*", pause: "", offset_ms: 0 };
    check(Command::control_stream_file("f", "", Some(keys)), 6, 10);
}

/// Everything that an answer stream gives, fed in pieces of these lengths (repeated; zero counts as one).
fn stream(bytes: &[u8], pieces: &[usize], expect: &Expect) -> (Vec<Event>, Option<FrameError>) {
    let mut frames = Frames::new(64);
    let mut events = Vec::new();
    let mut rest = bytes;
    let mut lengths = pieces.iter().copied().cycle();
    while !rest.is_empty() {
        let (piece, tail) = rest.split_at(lengths.next().unwrap_or(rest.len()).clamp(1, rest.len()));
        rest = tail;
        frames.lines().room().extend_from_slice(piece);
        loop {
            match frames.next(expect) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// No bytes make the parsers panic, and packets make no difference.
pub fn packets(bytes: &[u8], pieces: &[usize]) {
    for expect in [Expect::Status, Expect::Value, Expect::Framed(b"0".to_vec())] {
        let whole = stream(bytes, &[], &expect);
        assert_eq!(whole, stream(bytes, pieces, &expect), "{expect:?}");
        assert_eq!(whole, stream(bytes, &[1], &expect), "{expect:?}");
    }
    let mut frames = Frames::new(64);
    frames.lines().room().extend_from_slice(bytes);
    let _ = frames.before_command();
    let _ = environment(bytes);
}

/// How far an environment was taken.
#[derive(Debug, PartialEq, Eq)]
pub enum Taken {
    /// To its end; the rest of the bytes follow it.
    Whole(usize),
    /// More is needed.
    Part,
    /// Not at all.
    Refused(EnvError),
}

/// Scans an environment.
#[must_use]
pub fn environment(bytes: &[u8]) -> Taken {
    let mut scanner = Scanner::default();
    let mut at = 0;
    for line in bytes.split_inclusive(|b| *b == b'\n') {
        at += line.len();
        let Some(line) = line.strip_suffix(b"\n") else { return Taken::Part };
        match scanner.line(line) {
            Ok(true) => {
                let environment = scanner.finish();
                for key in KEYS {
                    let _ = (environment.get(key), environment.lossy(key));
                }
                let _ = (environment.script(), environment.query("did"), environment.arg(environment.args()));
                return Taken::Whole(at);
            }
            Ok(false) => {}
            Err(error) => return Taken::Refused(error),
        }
    }
    Taken::Part
}

/// A caller-chosen value with a line feed never passes: the environment is refused, or what follows its early
/// end ends the session at the first look or answer.
pub fn forgery(key: usize, value: &[u8]) {
    // Values before CALLERID are Asterisk's own; behind the last one nothing true follows that could give it away.
    let key = 8 + key % (KEYS.len() - 9);
    let mut bytes = Vec::new();
    for (index, name) in KEYS.iter().enumerate() {
        bytes.extend_from_slice(format!("agi_{name}: ").as_bytes());
        bytes.extend_from_slice(if index == key { value } else { b"true" });
        bytes.push(b'\n');
    }
    bytes.push(b'\n');
    let small = value.len() < limits::ENV_LINE_BYTES / 2;
    match environment(&bytes) {
        Taken::Whole(end) if !value.contains(&b'\n') => assert_eq!(end, bytes.len()),
        Taken::Whole(end) => {
            assert_eq!(leftovers(&bytes[end..]).before_command(), Err(FrameError::Forged), "passed");
            for expect in [Expect::Status, Expect::Value, Expect::Framed(b"12345678".to_vec())] {
                let mut frames = leftovers(&bytes[end..]);
                let error = loop {
                    match frames.next(&expect) {
                        Ok(Some(_)) => {}
                        Ok(None) => break None,
                        Err(error) => break Some(error),
                    }
                };
                assert!(error == Some(FrameError::Forged) || !small, "passed as answers: {error:?}");
            }
        }
        taken => {
            assert!(taken != Taken::Part, "an environment without an end");
            assert!(value.contains(&b'\n') || !small, "a true environment was refused");
        }
    }
}

fn leftovers(bytes: &[u8]) -> Frames {
    let mut frames = Frames::new(64);
    frames.lines().room().extend_from_slice(bytes);
    frames
}
