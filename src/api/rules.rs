//! Rules for texts that several collections share.

use super::field::Rule;
use crate::base::ids::{Id, Name, Number, TenantId};

/// A phone number in E.164.
pub static NUMBER: Rule = Rule {
    format: "e164",
    pattern: "^\\+[1-9][0-9]{6,14}$",
    max: 16,
    check: |text| {
        Number::parse(text).map(|n| n.to_string()).map_err(|_| {
            "This must be a number in E.164: '+', then 7 to 15 digits, such as +15550001000.".into()
        })
    },
    example: "+15550001000",
};

/// The id of a row, in lists of texts.
pub static ID: Rule = Rule {
    format: "id",
    pattern: "^[0-9a-hjkmnp-tv-z]{26}$",
    max: 26,
    check: |text| {
        Id::parse(text).map(|id| id.to_string()).map_err(|_| "This must be an id: 26 of 0-9 and a-z.".into())
    },
    example: "01arz3ndektsv4rrffq69g5fav",
};

/// A name within a tenant.
pub static NAME: Rule = Rule {
    format: "name",
    pattern: "^[a-z0-9]([a-z0-9._-]{0,17}[a-z0-9])?$",
    max: 19,
    check: |text| {
        Name::parse(text)
            .map(|n| n.to_string())
            .map_err(|_| "This must be 1 to 19 of a-z and 0-9, with '-', '_' or '.' inside.".into())
    },
    example: "support",
};

/// A tenant's id.
pub static TENANT: Rule = Rule {
    format: "tenant-id",
    pattern: "^[a-z0-9]([a-z0-9_]{0,18}[a-z0-9])?$",
    max: 20,
    check: |text| {
        TenantId::parse(text)
            .map(|n| n.to_string())
            .map_err(|_| "This must be 1 to 20 of a-z and 0-9, with '_' inside.".into())
    },
    example: "acme",
};

/// A country, as ISO 3166-1 writes it in two letters.
pub static COUNTRY: Rule = Rule {
    format: "country",
    pattern: "^[A-Z]{2}$",
    max: 2,
    check: |text| match text.len() == 2 && text.bytes().all(|b| b.is_ascii_uppercase()) {
        true => Ok(text.to_owned()),
        false => Err("This must be a country in two capital letters, such as DE.".into()),
    },
    example: "DE",
};

/// An e-mail address, kept in lower case.
pub static EMAIL: Rule = Rule {
    format: "email",
    pattern: r"^[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$",
    max: 254,
    check: email,
    example: "ada@example.com",
};

/// A language tag, such as `en` or `pt-BR`.
pub static LANGUAGE: Rule = Rule {
    format: "language",
    pattern: "^[A-Za-z]{2,3}([-_][A-Za-z0-9]{2,8}){0,2}$",
    max: 20,
    check: |text| {
        let mut parts = text.split(['-', '_']);
        let first = parts
            .next()
            .is_some_and(|p| (2..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphabetic()));
        let rest: Vec<&str> = parts.collect();
        let good = first
            && rest.len() <= 2
            && rest
                .iter()
                .all(|p| (2..=8).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_alphanumeric()));
        if good {
            Ok(text.to_owned())
        } else {
            Err("This must be a language tag such as en or pt-BR.".into())
        }
    },
    example: "en",
};

/// An IANA time zone.
pub static ZONE: Rule = Rule {
    format: "time-zone",
    pattern: "",
    max: 64,
    check: |text| {
        text.parse::<chrono_tz::Tz>()
            .map(|zone| zone.name().to_owned())
            .map_err(|_| "This must be an IANA time zone such as Europe/Berlin.".into())
    },
    example: "Europe/Berlin",
};

/// A URL over HTTP(S) without credentials.
pub static URL: Rule = Rule {
    format: "uri",
    pattern: "",
    max: 2_048,
    check: |text| match url::Url::parse(text) {
        Ok(url)
            if matches!(url.scheme(), "http" | "https")
                && url.has_host()
                && url.username().is_empty()
                && url.password().is_none() =>
        {
            Ok(text.to_owned())
        }
        _ => Err("This must be a URL such as https://example.com/hook, without a user or password.".into()),
    },
    example: "https://example.com/hook",
};

fn email(text: &str) -> Result<String, String> {
    let wrong = || Err("This must be an e-mail address such as ada@example.com.".to_owned());
    let text = text.trim().to_lowercase();
    let Some((local, domain)) = text.rsplit_once('@') else { return wrong() };
    let local_ok = !local.is_empty()
        && local.len() <= 64
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..")
        && local.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+/=?^_`{|}~.-".contains(&b));
    let label = |l: &str| {
        !l.is_empty()
            && l.len() <= 63
            && !l.starts_with('-')
            && !l.ends_with('-')
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let domain_ok = domain.len() <= 253 && domain.contains('.') && domain.split('.').all(label);
    // ASCII only: a look-alike of another script would be another person's address to the eye.
    if local_ok && domain_ok { Ok(text) } else { wrong() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_plain_and_lower_case() {
        assert_eq!((EMAIL.check)("Ada@Example.COM"), Ok("ada@example.com".to_owned()));
        for bad in
            ["", "ada", "@x.y", "ada@", "ada@x", "a b@x.y", "аda@example.com", "a..b@x.y", "a@-x.y", "a@x..y"]
        {
            assert!((EMAIL.check)(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_example_passes_and_stays() {
        for rule in [&NUMBER, &ID, &NAME, &TENANT, &EMAIL, &LANGUAGE, &ZONE, &URL] {
            assert_eq!((rule.check)(rule.example).as_deref(), Ok(rule.example), "{}", rule.format);
        }
        for bad in ["e", "english", "en-", "../x", "en_US_x_y"] {
            assert!((LANGUAGE.check)(bad).is_err(), "{bad}");
        }
        for bad in ["ftp://x.y", "https://u:p@x.y", "https://", "x"] {
            assert!((URL.check)(bad).is_err(), "{bad}");
        }
        assert!((ZONE.check)("Mars/Olympus").is_err());
    }
}
