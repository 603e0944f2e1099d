//! Which calls are being decided for the first time at this moment, by uniqueid. A caller may leave meanwhile, and then
//! the report of the end lies in Asterisk's database before the call's first record is in the journal.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Calls whose first decision is not written down yet.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<HashMap<String, u32>>);

impl Asked {
    fn calls(&self) -> MutexGuard<'_, HashMap<String, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The call is asked about until the answer drops.
    pub(super) fn enter<'a>(&'a self, uniqueid: &'a str) -> Question<'a> {
        *self.calls().entry(uniqueid.to_owned()).or_default() += 1;
        Question { asked: self, uniqueid }
    }

    /// Whether the call is being decided.
    pub(super) fn contains(&self, uniqueid: &str) -> bool {
        self.calls().contains_key(uniqueid)
    }
}

/// One call's question.
#[must_use]
pub(super) struct Question<'a> {
    asked: &'a Asked,
    uniqueid: &'a str,
}

impl Drop for Question<'_> {
    fn drop(&mut self) {
        let mut calls = self.asked.calls();
        if let Some(times) = calls.get_mut(self.uniqueid) {
            *times -= 1;
            if *times == 0 {
                calls.remove(self.uniqueid);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_asked_about_until_its_last_question_is_over() {
        let asked = Asked::default();
        let one = asked.enter("1.1");
        let again = asked.enter("1.1");
        drop(one);
        assert!(asked.contains("1.1") && !asked.contains("1.2"));
        drop(again);
        assert!(!asked.contains("1.1") && asked.calls().is_empty());
    }
}
