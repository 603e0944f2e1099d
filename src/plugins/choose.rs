//! Which version a run gets: the one that was named, the canary for its callers, else the active one. A leaf without I/O.

use super::setup::{Setup, Version};
use crate::base::ids::Id;

/// The version for a caller, or for whatever `who` names where there is no caller; `None`: there is none, or not that one.
pub(super) fn version<'s>(
    setup: &'s Setup,
    named: Option<u32>,
    caller: Option<&str>,
    who: &str,
) -> Option<&'s Version> {
    if let Some(number) = named {
        return setup.versions().find(|version| version.number == number);
    }
    if let Some(canary) = &setup.canary
        && (caller.is_some_and(|number| canary.numbers.contains(number))
            || share(&setup.id, caller.unwrap_or(who)) < canary.percent)
    {
        return Some(&canary.version);
    }
    setup.active.as_ref()
}

/// A number below 100 that stays the same for a plugin and a caller, on every node and in every build.
fn share(plugin: &Id, who: &str) -> u8 {
    // FNV-1a; then mixed, since it spreads short texts badly over few values.
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for byte in plugin.as_str().bytes().chain([0]).chain(who.bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash ^= hash >> 33;
    hash = hash.wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^= hash >> 33;
    u8::try_from(hash % 100).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_even_and_stays() {
        let plugin = Id::parse("01kb2x8v9q3d5s7f1g4h6j8k0m").unwrap();
        let mut counts = [0_u32; 100];
        for n in 0..100_000 {
            counts[usize::from(share(&plugin, &format!("+1555{n:07}")))] += 1;
        }
        assert!(counts.iter().all(|count| (800..1_200).contains(count)), "{counts:?}");
        // Kept with the callers of every tenant: another value would move them to other versions.
        assert_eq!(share(&plugin, "+15557770001"), share(&plugin, "+15557770001"));
    }
}
