//! What came back for a command, and how the commands' results are read.
//!
//! Invariant: `result=` is text. A number is made of it only where the caller asks for one.

use super::parse;

/// The answer to one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// `200 result=...`.
    Ok(Answer),
    /// `510`: Asterisk does not know the command (module not loaded, or we are out of date).
    Unknown,
    /// `511`: the caller has hung up and the command needs a live channel.
    Dead,
    /// `520`: wrong arguments; the usage text, which may be empty.
    Usage(Vec<u8>),
    /// Any other number with its text (`503`: Asterisk is out of memory).
    Other(u16, Vec<u8>),
}

/// A `200` answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Answer {
    /// Text after `result=`.
    pub result: Vec<u8>,
    /// Text in parentheses: a value, or a status word such as `timeout`.
    pub value: Option<Vec<u8>>,
    /// Position where a sound stopped, in samples (8 a millisecond); -1 when Asterisk does not know.
    pub endpos: Option<i64>,
    /// What follows, for instance `Gosub complete`, or `digit=5 endpos=320` of SPEECH RECOGNIZE.
    pub rest: Vec<u8>,
}

/// A command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// See [`Reply::Unknown`].
    #[error("Asterisk does not know the command (510)")]
    Unknown,
    /// See [`Reply::Dead`].
    #[error("the caller has hung up (511)")]
    Dead,
    /// See [`Reply::Usage`].
    #[error("wrong arguments (520)")]
    Usage,
    /// See [`Reply::Other`].
    #[error("Asterisk answered {0}")]
    Other(u16),
}

impl Reply {
    /// The `200` answer, or why there is none.
    ///
    /// # Errors
    /// [`Refusal`] for every other reply.
    pub fn ok(self) -> Result<Answer, Refusal> {
        match self {
            Self::Ok(answer) => Ok(answer),
            Self::Unknown => Err(Refusal::Unknown),
            Self::Dead => Err(Refusal::Dead),
            Self::Usage(_) => Err(Refusal::Usage),
            Self::Other(code, _) => Err(Refusal::Other(code)),
        }
    }
}

/// How STREAM FILE, CONTROL STREAM FILE, GET OPTION, WAIT FOR DIGIT, RECEIVE CHAR and SAY * ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digit {
    /// It played to the end, or nobody pressed a key in time.
    None,
    /// This key, as ASCII: `0`-`9`, `*`, `#`, `A`-`D`.
    Pressed(u8),
    /// -1: the caller hung up or the file could not be played. Whether it was a hang-up, the next `HANGUP` line says.
    Failed,
}

/// How GET DATA ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Digits, and whether the time ran out before all came. Without a key: empty, and true.
    Digits(Vec<u8>, bool),
    /// -1: hang-up, or no such prompt.
    Failed,
}

/// Why RECORD FILE stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// This key was pressed.
    Digit(u8),
    /// The time is over, or there was silence long enough.
    Timeout,
    /// The caller hung up; what was recorded is there.
    Hangup,
    /// The file could not be written, or the format is unknown.
    WriteFile,
    /// The channel failed (`waitfor`, `randomerror`, and what later versions add).
    Failed,
}

impl Answer {
    /// `result=` as a number; `None` when it is none (or empty).
    #[must_use]
    pub fn number(&self) -> Option<i64> {
        parse::number(&self.result)
    }

    /// True when `result=` is this number.
    #[must_use]
    pub fn is(&self, number: i64) -> bool {
        self.number() == Some(number)
    }

    /// For commands that report a key as its ASCII code.
    #[must_use]
    pub fn digit(&self) -> Digit {
        match self.number() {
            Some(0) => Digit::None,
            Some(code) => u8::try_from(code).map_or(Digit::Failed, Digit::Pressed),
            None => Digit::Failed,
        }
    }

    /// For `GET [FULL] VARIABLE`, DATABASE GET and RECEIVE TEXT: the value, `None` when there is none (`result=0`).
    #[must_use]
    pub fn into_value(self) -> Option<Vec<u8>> {
        if self.is(1) { self.value } else { None }
    }

    /// For GET DATA. The digits are text and may start with zeros.
    #[must_use]
    pub fn data(&self) -> Data {
        if self.result == b"-1" {
            return Data::Failed;
        }
        Data::Digits(self.result.clone(), self.value.as_deref() == Some(b"timeout"))
    }

    /// For RECORD FILE.
    #[must_use]
    pub fn recorded(&self) -> Recorded {
        match (self.value.as_deref(), self.digit()) {
            (Some(b"dtmf"), Digit::Pressed(key)) => Recorded::Digit(key),
            (Some(b"timeout"), _) => Recorded::Timeout,
            (Some(b"hangup"), _) => Recorded::Hangup,
            (Some(b"writefile"), _) => Recorded::WriteFile,
            _ => Recorded::Failed,
        }
    }

    /// A `name=value` word of what follows the value (`results`, `score0` of SPEECH RECOGNIZE).
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<&[u8]> {
        parse::attribute(&self.rest, name.as_bytes())
    }
}

impl From<parse::Success<'_>> for Answer {
    fn from(ok: parse::Success<'_>) -> Self {
        Self {
            result: ok.result.to_vec(),
            value: ok.value.map(<[u8]>::to_vec),
            endpos: ok.endpos,
            rest: ok.rest.to_vec(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(result: &str, value: Option<&str>) -> Answer {
        Answer { result: result.into(), value: value.map(Into::into), ..Answer::default() }
    }

    #[test]
    fn results() {
        assert_eq!(answer("53", None).digit(), Digit::Pressed(b'5'));
        assert_eq!(answer("0", None).digit(), Digit::None);
        assert_eq!(answer("-1", None).digit(), Digit::Failed);
        assert_eq!(answer("", None).digit(), Digit::Failed);
        assert_eq!(answer("0012", None).data(), Data::Digits(b"0012".to_vec(), false));
        assert_eq!(answer("", Some("timeout")).data(), Data::Digits(Vec::new(), true));
        assert_eq!(answer("-1", None).data(), Data::Failed);
        assert_eq!(answer("35", Some("dtmf")).recorded(), Recorded::Digit(b'#'));
        assert_eq!(answer("-1", Some("hangup")).recorded(), Recorded::Hangup);
        assert_eq!(answer("-1", Some("writefile")).recorded(), Recorded::WriteFile);
        assert_eq!(answer("-1", Some("waitfor")).recorded(), Recorded::Failed);
        assert_eq!(answer("1", Some("x")).into_value(), Some(b"x".to_vec()));
        assert_eq!(answer("0", None).into_value(), None);
        assert_eq!(Reply::Dead.ok(), Err(Refusal::Dead));
    }
}
