//! Words to read the input with.

use crate::contacts::Contact;
use crate::{Call, Event, Field};

impl Call {
    /// The caller's number; empty when withheld.
    pub fn caller_number(&self) -> &str {
        self.caller.number.as_deref().unwrap_or_default()
    }

    /// What the dialplan told plugins under this name.
    pub fn variable(&self, name: &str) -> Option<&str> {
        value(&self.variables, name)
    }

    /// Chance, the same whenever this call is decided again.
    pub fn random(&self) -> Random {
        Random::new(self.seed)
    }
}

impl Event {
    /// Chance, the same whenever this event is delivered again.
    pub fn random(&self) -> Random {
        Random::new(self.seed)
    }
}

impl Contact {
    /// Whether the contact has this tag.
    pub fn has_tag(&self, tag: &str) -> bool {
        self.tags.iter().any(|t| t == tag)
    }

    /// The custom field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        value(&self.fields, name)
    }
}

/// The first value of this name.
fn value<'a>(fields: &'a [Field], name: &str) -> Option<&'a str> {
    fields.iter().find(|field| field.name == name).map(|field| field.value.as_str())
}

/// Chance from a seed (SplitMix64): the same seed, the same numbers.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Begins at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        // The product's upper half: no division, and hardly any bias.
        ((u128::from(self.number()) * u128::from(end)) >> 64) as u64
    }

    /// One of these; none of nothing.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> Option<&'a T> {
        of.get(self.below(of.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chance_repeats_and_stays_below() {
        let (mut a, mut b) = (Random::new(42), Random::new(42));
        for _ in 0..1000 {
            let n = a.below(7);
            assert!(n < 7);
            assert_eq!(n, b.below(7));
        }
        assert_eq!((a.below(0), a.pick::<u8>(&[]), a.pick(&[5])), (0, None, Some(&5)));
    }
}
