//! Single lines of the AGI protocol: bytes in, meaning out. No I/O, no state, never needs UTF-8.
//!
//! Invariant: every function here is total. Whatever the bytes, the answer is a value, never a panic.
//! What belongs together over several lines is the business of [`super::frame`] (answers) and
//! [`super::environment`] (the head of a session). Source: `res_agi.c` of Asterisk 22 and recorded dialogues.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_till, take_while, take_while_m_n, take_while1};
use nom::character::complete::char as one;
use nom::combinator::{all_consuming, opt, recognize, rest};
use nom::sequence::{preceded, terminated};
use nom::{IResult, Parser};

/// How the text in parentheses after `result=` ends. Asterisk escapes nothing, so only the command tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// A status word such as `(timeout)` or `(dtmf)`: it ends at the first `)`, attributes may follow
    /// (`endpos=`, `digit=`), and the answer is one line.
    Status,
    /// Free text of somebody's choice (`GET VARIABLE`, `DATABASE GET` ...): it may hold `)`, quotes and line
    /// feeds, and runs to the last `)` of the line.
    Value,
}

/// One line from Asterisk while a command is waiting for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line<'a> {
    /// `HANGUP`: out of band, never an answer.
    Hangup,
    /// Nothing but the line feed.
    Empty,
    /// `1xx`: the real answer follows (`100 result=0 Trying...` of GOSUB).
    Provisional,
    /// `200 result=...`.
    Ok(Success<'a>),
    /// `200 result=1 (` of a [`Shape::Value`] whose `)` is not the last byte: the value goes on in the next line.
    Open,
    /// `510`: Asterisk does not know the command.
    Unknown510,
    /// `511`: not permitted after hang-up.
    Dead511,
    /// `520-`: usage text follows, up to [`Line::UsageEnd`].
    UsageStart,
    /// `520 End of proper usage.`
    UsageEnd,
    /// `520` in one line: no usage text is available.
    Usage,
    /// Any other number, such as `503 result=-2 Memory allocation failure`.
    Other(u16, &'a [u8]),
    /// `agi_...`: a line of the environment, where none can be any more. Proof of a forged environment.
    Environment,
    /// No answer at all.
    Stray,
}

/// The parts of a `200` answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Success<'a> {
    /// Text after `result=` up to the first space: a number, digits with `*` and `#`, or nothing.
    pub result: &'a [u8],
    /// Text in parentheses.
    pub value: Option<&'a [u8]>,
    /// `endpos=`, in samples; -1 is possible (CONTROL STREAM FILE).
    pub endpos: Option<i64>,
    /// What follows the result and the value: `Gosub complete`, `digit=5 endpos=320`.
    pub rest: &'a [u8],
}

/// Parses one line without its line feed. `shape` is that of the command which waits for an answer.
#[must_use]
pub fn line(bytes: &[u8], shape: Shape) -> Line<'_> {
    match bytes {
        b"" => return Line::Empty,
        b"HANGUP" => return Line::Hangup,
        _ => {}
    }
    if bytes.starts_with(b"agi_") {
        return Line::Environment;
    }
    match code(bytes) {
        Ok((text, code)) => coded(code, text, shape),
        Err(_) => Line::Stray,
    }
}

fn code(input: &[u8]) -> IResult<&[u8], u16> {
    take_while_m_n(3, 3, |b: u8| b.is_ascii_digit())
        .map(|digits: &[u8]| digits.iter().fold(0, |n, d| n * 10 + u16::from(d - b'0')))
        .parse(input)
}

fn coded(code: u16, text: &[u8], shape: Shape) -> Line<'_> {
    match (code, text.first()) {
        (520, Some(b'-')) => Line::UsageStart,
        // A dash or a space or nothing follows the number; `2000 bottles` is not an answer.
        (_, Some(byte)) if *byte != b' ' => Line::Stray,
        (100..=199, _) => Line::Provisional,
        (510, _) => Line::Unknown510,
        (511, _) => Line::Dead511,
        (520, _) if text.starts_with(b" End of proper usage") => Line::UsageEnd,
        (520, _) => Line::Usage,
        (200, _) => match ok(text, shape) {
            Ok((_, Some(ok))) => Line::Ok(ok),
            Ok((_, None)) => Line::Open,
            Err(_) => Line::Other(code, text.trim_ascii_start()),
        },
        _ => Line::Other(code, text.trim_ascii_start()),
    }
}

/// ` result=R[ (VALUE)][ REST]`; `None` when the value is still open.
fn ok(input: &[u8], shape: Shape) -> IResult<&[u8], Option<Success<'_>>> {
    let (input, result) = preceded(tag(" result="), take_till(|b| b == b' ')).parse(input)?;
    let (tail, opened) = opt(tag(" (")).parse(input)?;
    let (tail, value) = match (opened, shape) {
        (None, _) => (tail, None),
        (Some(_), Shape::Status) => {
            match terminated(take_till(|b| b == b')'), one(')')).parse(tail) {
                Ok((tail, word)) => (tail, Some(word)),
                // A status word that is not closed is no status word.
                Err(nom::Err::Error(_) | nom::Err::Incomplete(_)) => (input, None),
                Err(failure) => return Err(failure),
            }
        }
        (Some(_), Shape::Value) => match tail.split_last() {
            Some((b')', value)) => (&tail[tail.len()..], Some(value)),
            _ => return Ok((tail, None)),
        },
    };
    let tail = tail.trim_ascii_start();
    let endpos = attribute(tail, b"endpos").and_then(number);
    rest.map(|rest| Some(Success { result, value, endpos, rest })).parse(tail)
}

/// The value of the first `name=value` word in `text`. Quotes are not taken off.
#[must_use]
pub fn attribute<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    text.split(|b| *b == b' ').find_map(|word| word.strip_prefix(name)?.strip_prefix(b"="))
}

/// A whole decimal number, with a sign if any. `None` for anything else and beyond 64 bits.
#[must_use]
pub fn number(text: &[u8]) -> Option<i64> {
    let digits = take_while1(|b: u8| b.is_ascii_digit());
    let parsed: IResult<&[u8], &[u8]> = all_consuming(recognize((opt(one('-')), digits))).parse(text);
    let (_, text) = parsed.ok()?;
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn done<T>(parsed: IResult<&[u8], T>) -> Option<(&[u8], T)> {
    parsed.ok()
}

/// One line of the environment, without its line feed: `agi_KEY: VALUE` gives key (without `agi_`) and value.
/// The value is everything after the first `: `, raw.
#[must_use]
pub fn environment_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut key = preceded(tag("agi_"), take_while(|b: u8| b.is_ascii_alphanumeric() || b == b'_'));
    // Asterisk writes "key: value"; with an empty value the space may be lost on the way.
    let mut separator = alt((tag(": "), all_consuming(tag(":"))));
    let (tail, key) = done(key.parse(bytes))?;
    let (value, _) = done(separator.parse(tail))?;
    (!key.is_empty()).then_some((key, value))
}

/// The part of a script path before `?`, and the value of `name` in the query after it: split on `&` and `=`,
/// not decoded (Asterisk passes the URL as the dialplan wrote it). The first occurrence counts.
#[must_use]
pub fn query<'a>(script: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    pairs(script).find_map(|(key, value)| (key == name).then_some(value))
}

/// Every name of the query with its value, in their order.
pub fn pairs(script: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let query = script.iter().position(|b| *b == b'?').map_or(&[][..], |mark| &script[mark + 1..]);
    query.split(|b| *b == b'&').map(|pair| match pair.iter().position(|b| *b == b'=') {
        Some(at) => (&pair[..at], &pair[at + 1..]),
        None => (pair, &pair[pair.len()..]),
    })
}

/// The path of a script, without its query.
#[must_use]
pub fn path(script: &[u8]) -> &[u8] {
    script.split(|b| *b == b'?').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts<'a> = (&'a [u8], Option<&'a [u8]>, Option<i64>, &'a [u8]);

    fn parts(bytes: &[u8], shape: Shape) -> Parts<'_> {
        match line(bytes, shape) {
            Line::Ok(ok) => (ok.result, ok.value, ok.endpos, ok.rest),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn answers_as_recorded() {
        let s = Shape::Status;
        assert_eq!(parts(b"200 result=0", s), (&b"0"[..], None, None, &b""[..]));
        assert_eq!(parts(b"200 result=", s), (&b""[..], None, None, &b""[..]));
        assert_eq!(parts(b"200 result= (timeout)", s), (&b""[..], Some(&b"timeout"[..]), None, &b""[..]));
        assert_eq!(parts(b"200 result=*0012345678901#", s).0, b"*0012345678901#");
        let tail = &b"endpos=17280"[..];
        assert_eq!(
            parts(b"200 result=35 (dtmf) endpos=17280", s),
            (&b"35"[..], Some(&b"dtmf"[..]), Some(17280), tail)
        );
        assert_eq!(parts(b"200 result=0 endpos=-1", s).2, Some(-1));
        assert_eq!(parts(b"200 result=0 Gosub complete", s).3, b"Gosub complete");
        assert_eq!(parts(b"200 result=1 (digit) digit=5 endpos=320", s).2, Some(320));
    }

    #[test]
    fn values_run_to_the_last_parenthesis() {
        let v = Shape::Value;
        assert_eq!(
            parts(b"200 result=1 (say \"hi\" (paren) ) end)", v).1,
            Some(&b"say \"hi\" (paren) ) end"[..])
        );
        assert_eq!(parts(b"200 result=1 ()", v).1, Some(&b""[..]));
        assert_eq!(parts(b"200 result=1 (\xe9\xff)", v).1, Some(&b"\xe9\xff"[..]));
        assert_eq!(parts(b"200 result=1 (a) endpos=3)", v).1, Some(&b"a) endpos=3"[..]));
        assert_eq!(line(b"200 result=1 (x", v), Line::Open);
        assert_eq!(line(b"200 result=1 (", v), Line::Open);
    }

    #[test]
    fn other_lines() {
        let s = Shape::Status;
        assert_eq!(line(b"100 result=0 Trying...", s), Line::Provisional);
        assert_eq!(line(b"510 Invalid or unknown command", s), Line::Unknown510);
        assert_eq!(line(b"511 Command Not Permitted on a dead channel", s), Line::Dead511);
        assert_eq!(line(b"520-Invalid command syntax.  Proper usage follows:", s), Line::UsageStart);
        assert_eq!(line(b"520 End of proper usage.", s), Line::UsageEnd);
        assert_eq!(line(b"520 Invalid command syntax.  Proper usage not available.", s), Line::Usage);
        assert_eq!(line(b"503 result=-2 Memory", s), Line::Other(503, b"result=-2 Memory"));
        assert_eq!(line(b"2000 result=1", s), Line::Stray);
        assert_eq!(line(b"agi_calleridname: x", s), Line::Environment);
        assert_eq!(line(b"HANGUP", s), Line::Hangup);
        assert_eq!(line(b"HANGUPS", s), Line::Stray);
        assert_eq!(line(b"20", s), Line::Stray);
    }

    #[test]
    fn environment_lines_and_queries() {
        assert_eq!(environment_line(b"agi_arg_4: "), Some((&b"arg_4"[..], &b""[..])));
        assert_eq!(environment_line(b"agi_x: a: b"), Some((&b"x"[..], &b"a: b"[..])));
        assert_eq!(environment_line(b"HACK"), None);
        assert_eq!(environment_line(b"agi_: x"), None);
        assert_eq!(environment_line(b"agi_a b: x"), None);
        let script = b"q?did=q1&t=a b&u=%20&flag&did=2";
        assert_eq!(path(script), b"q");
        assert_eq!(query(script, b"did"), Some(&b"q1"[..]));
        assert_eq!(query(script, b"u"), Some(&b"%20"[..]));
        assert_eq!(query(script, b"flag"), Some(&b""[..]));
        assert_eq!(query(script, b"none"), None);
        assert_eq!(query(b"q", b"did"), None);
    }

    #[test]
    fn numbers() {
        assert_eq!(number(b"-1"), Some(-1));
        assert_eq!(number(b"0012"), Some(12));
        for bad in [&b""[..], b"-", b"1x", b"+1", b"99999999999999999999"] {
            assert_eq!(number(bad), None);
        }
    }
}
