//! Why a plugin could not do its work.

use std::fmt;

use crate::Failure;

/// A text for the plugin's author: it stands in the run's record, the caller never hears of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(String);

impl Error {
    /// Of anything that can be shown: `.map_err(Error::new)?`.
    pub fn new(what: impl fmt::Display) -> Self {
        Self(what.to_string())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<&str> for Error {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl From<String> for Error {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        Self(failure.text())
    }
}

impl From<Error> for String {
    fn from(error: Error) -> Self {
        error.0
    }
}

impl Failure {
    /// In words, such as `denied: http is not granted`.
    pub fn text(&self) -> String {
        match self {
            Self::Denied(what) => format!("denied: {what}"),
            Self::NotFound => "not found".into(),
            Self::Invalid(what) => format!("invalid: {what}"),
            Self::Limit(which) => format!("a limit is reached: {which}"),
            Self::Timeout => "timeout".into(),
            Self::HungUp => "the caller hung up".into(),
            Self::Other((code, text)) => format!("{code}: {text}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_mark_keeps_the_words() {
        fn fails() -> Result<(), Error> {
            Err(Failure::Denied("http is not granted".into()))?
        }
        assert_eq!(fails().unwrap_err().to_string(), "denied: http is not granted");
        let number: Result<u8, Error> = "x".parse::<u8>().map_err(Error::new);
        assert!(number.unwrap_err().to_string().contains("invalid digit"));
    }
}
