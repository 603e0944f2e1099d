//! What Asterisk's `res_config_curl` sends and reads: forms of conditions and values, rows as lines of a form. Pure.
//!
//! A condition's operator is part of its name, behind a space: `id LIKE=acme-101;@%`, `expiration_time <==1795346615`
//! (recorded from Asterisk 22). Percent-encoding stands for everything but letters, digits and `-_.`.

use std::fmt::Write as _;

use crate::config::limits::realtime as limits;

/// A row: columns that are set, with their values.
pub use crate::endpoints::Row;

/// How a column is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// `=`
    Is,
    /// `!=`
    Not,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
    /// `LIKE`
    Like,
    /// `NOT LIKE`
    Unlike,
}

/// One of several conditions that a row must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// The column.
    pub column: String,
    /// How it is compared.
    pub op: Op,
    /// With what.
    pub value: String,
}

/// Why a request can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// There are too many fields.
    #[error("more than {} fields", limits::FIELDS)]
    Fields,
    /// An operator that no Asterisk sends.
    #[error("{0:?} is no operator")]
    Op(String),
}

/// The fields of a form, in their order.
///
/// # Errors
/// When there are too many.
pub fn pairs(form: &[u8]) -> Result<Vec<(String, String)>, FormError> {
    let all: Vec<(String, String)> = url::form_urlencoded::parse(form)
        .take(limits::FIELDS + 1)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .filter(|(name, _)| !name.is_empty())
        .collect();
    if all.len() > limits::FIELDS { Err(FormError::Fields) } else { Ok(all) }
}

/// The conditions of a form.
///
/// # Errors
/// When there are too many, or an operator is none.
pub fn conditions(form: &[u8]) -> Result<Vec<Condition>, FormError> {
    let read = |(name, value): (String, String)| {
        let (column, op) = name.split_once(' ').unwrap_or((&name, "="));
        let op = match op.trim().to_ascii_uppercase().as_str() {
            "" | "=" => Op::Is,
            "!=" | "<>" => Op::Not,
            "<" => Op::Less,
            "<=" => Op::AtMost,
            ">" => Op::More,
            ">=" => Op::AtLeast,
            "LIKE" => Op::Like,
            "NOT LIKE" => Op::Unlike,
            other => return Err(FormError::Op(other.chars().take(20).collect())),
        };
        Ok(Condition { column: column.to_owned(), op, value })
    };
    pairs(form)?.into_iter().map(read).collect()
}

impl Condition {
    /// Whether a row meets it. Numbers are compared as numbers; a column that is not set meets no condition, as in SQL.
    pub fn is_met(&self, row: &Row) -> bool {
        let Some((_, value)) = row.iter().find(|(column, _)| *column == self.column) else { return false };
        let order = || match (value.parse::<f64>(), self.value.parse::<f64>()) {
            (Ok(a), Ok(b)) => a.partial_cmp(&b),
            _ => Some(value.as_str().cmp(self.value.as_str())),
        };
        match self.op {
            Op::Is => *value == self.value,
            Op::Not => *value != self.value,
            Op::Less => order().is_some_and(std::cmp::Ordering::is_lt),
            Op::AtMost => order().is_some_and(std::cmp::Ordering::is_le),
            Op::More => order().is_some_and(std::cmp::Ordering::is_gt),
            Op::AtLeast => order().is_some_and(std::cmp::Ordering::is_ge),
            Op::Like => like(&self.value, value),
            Op::Unlike => !like(&self.value, value),
        }
    }
}

/// SQL's LIKE with `\` before what stands for itself. Takes time in the product of both lengths at most.
pub fn like(pattern: &str, text: &str) -> bool {
    let mut signs = Vec::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        signs.push(match c {
            '\\' => Sign::Char(rest.next().unwrap_or('\\')),
            '%' => Sign::Many,
            '_' => Sign::One,
            other => Sign::Char(other),
        });
    }
    let text: Vec<char> = text.chars().collect();
    let (mut s, mut t) = (0, 0);
    // Where to go on when what followed the last `%` did not fit.
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match signs.get(s) {
            Some(Sign::Many) => {
                back = Some((s + 1, t));
                s += 1;
            }
            Some(Sign::One) => (s, t) = (s + 1, t + 1),
            Some(Sign::Char(c)) if *c == text[t] => (s, t) = (s + 1, t + 1),
            _ => match &mut back {
                Some((sign, at)) => {
                    *at += 1;
                    (s, t) = (*sign, *at);
                }
                None => return false,
            },
        }
    }
    signs[s..].iter().all(|sign| matches!(sign, Sign::Many))
}

enum Sign {
    Char(char),
    One,
    Many,
}

/// The beginning that everything has that is like `pattern`.
pub fn beginning(pattern: &str) -> String {
    let mut text = String::new();
    let mut rest = pattern.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => text.extend(rest.next()),
            '%' | '_' => break,
            other => text.push(other),
        }
    }
    text
}

/// A row as a line.
pub fn line(row: &Row) -> String {
    let mut text = String::new();
    for (column, value) in row {
        if !text.is_empty() {
            text.push('&');
        }
        encode(column, &mut text);
        text.push('=');
        encode(value, &mut text);
    }
    text.push('\n');
    text
}

fn encode(value: &str, into: &mut String) {
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.".contains(&byte) {
            into.push(char::from(byte));
        } else {
            // Into a String, which takes everything. Not `+` for a space: that would depend on how Asterisk decodes.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

/// Logic of the fuzz target `realtime_form`: whatever comes is read or refused, and what is written is read as it was.
pub fn fuzz(bytes: &[u8]) {
    let Ok(all) = conditions(bytes) else { return };
    for condition in &all {
        let row = vec![("id", condition.value.clone())];
        let one = Condition { column: "id".into(), ..condition.clone() };
        let not = Condition { op: Op::Unlike, ..one.clone() };
        let is = Condition { op: Op::Like, ..one };
        assert!(is.is_met(&row) != not.is_met(&row));
        assert!(condition.value.starts_with(&beginning(&condition.value)) || condition.value.contains('\\'));
        let again = pairs(line(&row).trim_end().as_bytes());
        assert_eq!(again, Ok(vec![("id".to_owned(), condition.value.clone())]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<Condition> {
        conditions(text.as_bytes()).unwrap()
    }

    #[test]
    fn conditions_as_asterisk_sends_them() {
        let cases = [
            ("id=acme-101%40127.0.0.1", "id", Op::Is, "acme-101@127.0.0.1"),
            ("id%20LIKE=acme-101%3B%40%25", "id", Op::Like, "acme-101;@%"),
            ("mailboxes%20!%3D=", "mailboxes", Op::Not, ""),
            ("expiration_time%20%3C%3D=1795346615", "expiration_time", Op::AtMost, "1795346615"),
            ("qualify_frequency%20%3E=0", "qualify_frequency", Op::More, "0"),
        ];
        for (text, column, op, value) in cases {
            assert_eq!(of(text), [Condition { column: column.into(), op, value: value.into() }], "{text}");
        }
        assert_eq!(of("interface%20LIKE=%25&queue_name=acme-support").len(), 2);
        assert_eq!(of("id=acme-101%3B%409fff&"), of("id=acme-101%3B%409fff"));
        assert_eq!(conditions(b"id%20BETWEEN=1"), Err(FormError::Op("BETWEEN".into())));
        assert_eq!(pairs("a=1&".repeat(limits::FIELDS + 1).as_bytes()), Err(FormError::Fields));
    }

    #[test]
    fn patterns() {
        for (pattern, text, is) in [
            ("%", "", true),
            ("%", "acme-101", true),
            ("acme-101;@%", "acme-101;@9fff", true),
            ("acme-101;@%", "acme-102;@9fff", false),
            ("a_c", "abc", true),
            ("a\\_c", "abc", false),
            ("a\\_c", "a_c", true),
            ("%b%c", "abbbc", true),
            ("%b%c", "abbbcd", false),
            ("", "", true),
            ("", "a", false),
            ("a\\", "a\\", true),
        ] {
            assert_eq!(like(pattern, text), is, "{pattern} {text}");
        }
        assert_eq!(beginning("acme\\_x-101;@%"), "acme_x-101;@");
        // No pattern takes long.
        assert!(!like(&"%a".repeat(1_000), &"b".repeat(1_000)));
    }

    #[test]
    fn rows_meet_conditions() {
        let row: Row = vec![("id", "acme-101".into()), ("expiration_time", "9".into())];
        for (text, is) in [
            ("id=acme-101", true),
            ("id%20!%3D=acme-101", false),
            ("expiration_time%20%3C%3D=10", true),
            ("expiration_time%20%3E=10", false),
            ("mailboxes%20!%3D=", false),
            ("mailboxes=", false),
            ("contact%20NOT%20LIKE=x%25", false),
            ("id%20NOT%20LIKE=x%25", true),
        ] {
            assert_eq!(of(text)[0].is_met(&row), is, "{text}");
        }
    }

    #[test]
    fn lines_are_encoded() {
        let row = vec![("id", "acme-101".to_owned()), ("callerid", "\"Ä 1\" <101>&=+\n".to_owned())];
        assert_eq!(line(&row), "id=acme-101&callerid=%22%C3%84%201%22%20%3C101%3E%26%3D%2B%0A\n");
    }

    proptest::proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
            fuzz(&bytes);
        }

        #[test]
        fn what_is_written_is_read(value in "\\PC*") {
            fuzz(line(&vec![("id", value)]).trim_end().as_bytes());
        }
    }
}
