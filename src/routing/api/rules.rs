//! Rules for the texts of routing data, by the same types that routing reads them with.

use crate::api::Rule;
use crate::base::ids::Sound;
use crate::outgoing::OutgoingUrl;
use crate::plugins::{NAME_RULE, NO_PLUGIN};
use crate::routing::data::NumberList;
use crate::routing::platform::{Lists, is_short};
use crate::webhooks::sign::Secret;

/// A sound in Asterisk's folder.
pub(super) static SOUND: Rule = Rule {
    format: "sound",
    pattern: "",
    max: 120,
    check: |text| {
        Sound::parse(text).map(|s| s.to_string()).map_err(|_| {
            "This must be a sound as Asterisk names it, without extension: letters, digits, '_', '-', '.', '/' \
             inside; '&' joins several."
                .into()
        })
    },
    example: "custom/acme/welcome",
};

/// A URL that the service may be asked to call.
pub(super) static HOOK_URL: Rule = Rule {
    format: "uri",
    pattern: "",
    max: 2_048,
    check: |text| {
        text.parse::<OutgoingUrl>()
            .map(|_| text.to_owned())
            .map_err(|e| format!("This can't be called: {e}."))
    },
    example: "https://example.com/route",
};

/// A secret of Standard Webhooks.
pub(super) static HOOK_SECRET: Rule = Rule {
    format: "webhook-secret",
    pattern: "^whsec_[A-Za-z0-9+/]+=*$",
    max: 100,
    check: |text| text.parse::<Secret>().map(|s| s.expose()).map_err(|e| format!("{e}.")),
    example: "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
};

/// A plugin, with or without the number of a version.
pub(super) static PLUGIN: Rule = Rule {
    format: "plugin",
    pattern: "^[a-z0-9][a-z0-9-]{0,39}(@[1-9][0-9]{0,8})?$",
    max: 50,
    check: |text| match reference(text) {
        true => Ok(text.to_owned()),
        false => Err(
            "This must be a plugin's name, such as vip-router, or one version of it, such as vip-router@3."
                .into(),
        ),
    },
    example: "vip-router",
};

/// The same for a number, which may also want none.
pub(super) static DID_PLUGIN: Rule = Rule {
    format: "plugin-or-none",
    pattern: "^(-|[a-z0-9][a-z0-9-]{0,39}(@[1-9][0-9]{0,8})?)$",
    max: 50,
    check: |text| {
        match text == NO_PLUGIN || reference(text) {
        true => Ok(text.to_owned()),
        false => Err("This must be a plugin's name, such as vip-router, one version of it, such as vip-router@3, or - for \
                      none."
            .into()),
    }
    },
    example: "vip-router",
};

fn reference(text: &str) -> bool {
    let (name, version) = text.split_once('@').unwrap_or((text, "1"));
    (NAME_RULE.check)(name).is_ok()
        && (1..=9).contains(&version.len())
        && !version.starts_with('0')
        && version.bytes().all(|b| b.is_ascii_digit())
}

/// What a block or allow list holds.
pub(super) static PATTERN: Rule = Rule {
    format: "number-pattern",
    pattern: "^(anonymous|\\+[0-9]{0,15}\\*|\\+[1-9][0-9]{6,14})$",
    max: 20,
    check: |text| match NumberList::default().insert(text, 0) {
        true => Ok(text.to_owned()),
        false => Err("This must be a number (+15557770001), a prefix (+4930*), or anonymous.".into()),
    },
    example: "+15557770001",
};

/// What nobody on the platform calls.
pub(super) static DESTINATION: Rule = Rule {
    format: "destination-pattern",
    pattern: "^(\\+[0-9]{1,15}\\*|\\+[1-9][0-9]{6,14}|[0-9]{2,6})$",
    max: 20,
    check: |text| match text != "+*" && Lists::default().block(text) {
        true => Ok(text.to_owned()),
        false => {
            Err("This must be a number (+15557770001), a prefix (+252*), or a short number (118).".into())
        }
    },
    example: "+252*",
};

/// A number of a few digits that is dialled as it is.
pub(super) static SHORT: Rule = Rule {
    format: "short-number",
    pattern: "^[0-9]{2,6}$",
    max: 6,
    check: |text| match is_short(text) {
        true => Ok(text.to_owned()),
        false => Err("This must be 2 to 6 digits, such as 112.".into()),
    },
    example: "112",
};

/// What a rule for calls outside holds.
pub(super) static PREFIX: Rule = Rule {
    format: "number-prefix",
    pattern: "^(\\+[0-9]{0,15}|[0-9]{2,6})$",
    max: 16,
    check: |text| {
        let digits = |d: &str| d.bytes().all(|b| b.is_ascii_digit());
        let good = match text.strip_prefix('+') {
            Some(rest) => rest.len() <= 15 && digits(rest),
            None => (2..=6).contains(&text.len()) && digits(text),
        };
        if good {
            Ok(text.to_owned())
        } else {
            Err("This must be the beginning of numbers, with '+' (+49, or + for all), or a short number such as 112."
                .into())
        }
    },
    example: "+49",
};

/// The keys that make a choice in a menu.
pub(super) static KEYS: Rule = Rule {
    format: "keys",
    pattern: "^[0-9*#A-D]{1,10}$",
    max: 10,
    check: |text| {
        if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit() || b"*#ABCD".contains(&b)) {
            Ok(text.to_owned())
        } else {
            Err("This must be 1 to 10 keys of 0-9, *, #, A-D.".into())
        }
    },
    example: "1",
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_example_passes_and_stays() {
        for rule in [
            &SOUND,
            &HOOK_URL,
            &HOOK_SECRET,
            &PLUGIN,
            &DID_PLUGIN,
            &PATTERN,
            &DESTINATION,
            &SHORT,
            &PREFIX,
            &KEYS,
        ] {
            assert_eq!((rule.check)(rule.example).as_deref(), Ok(rule.example), "{}", rule.format);
            assert!((rule.check)("").is_err() && (rule.check)("a b").is_err(), "{}", rule.format);
        }
    }

    #[test]
    fn what_routing_could_not_use_is_refused() {
        for (rule, bad) in [
            (&SOUND, "../x"),
            (&SOUND, "/etc/passwd"),
            (&HOOK_URL, "ftp://example.com"),
            (&HOOK_URL, "https://a:b@example.com"),
            (&HOOK_SECRET, "whsec_c2hvcnQ="),
            (&HOOK_SECRET, "hunter2"),
            (&PLUGIN, "-x"),
            (&PLUGIN, "vip@"),
            (&PLUGIN, "Vip"),
            (&PLUGIN, "-"),
            (&PLUGIN, "vip@1.2.0"),
            (&PLUGIN, "vip@01"),
            (&DID_PLUGIN, "--"),
            (&PATTERN, "5551234"),
            (&PATTERN, "+1"),
            (&PATTERN, "+49 30*"),
            (&DESTINATION, "anonymous"),
            (&DESTINATION, "+*"),
            (&SHORT, "+112"),
            (&PREFIX, "1"),
            (&PREFIX, "+4a"),
            (&PREFIX, "1234567"),
            (&KEYS, "E"),
        ] {
            assert!((rule.check)(bad).is_err(), "{}: {bad}", rule.format);
        }
        for (rule, good) in [
            (&PATTERN, "+4930*"),
            (&PATTERN, "anonymous"),
            (&PREFIX, "+"),
            (&PREFIX, "112"),
            (&PLUGIN, "vip@12"),
            (&DID_PLUGIN, "-"),
        ] {
            assert!((rule.check)(good).is_ok(), "{}: {good}", rule.format);
        }
    }
}
