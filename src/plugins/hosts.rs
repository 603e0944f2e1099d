//! Hosts that a plugin may ask over HTTP: what the tenant allows, of what the operator allows. A leaf without I/O.

use crate::api::Rule;

/// Checks a pattern: a host's name in lower case, `*.` and such a name for all below it, or `*` for any. An address is
/// one by its own name.
///
/// # Errors
/// What would be right.
pub fn check(text: &str) -> Result<String, String> {
    let name = text.strip_prefix("*.").unwrap_or(text);
    let label = |part: &str| {
        (1..=63).contains(&part.len())
            && !part.starts_with('-')
            && !part.ends_with('-')
            && part.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if text == "*" || (text.len() <= HOST.max && name.split('.').all(label)) {
        return Ok(text.to_owned());
    }
    Err("This must be a host such as api.example.com, or *.example.com, or *, in lower case.".into())
}

/// A host that may be asked, as a field's rule.
pub static HOST: Rule = Rule {
    format: "host-pattern",
    pattern: r"^(\*|(\*\.)?[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*)$",
    max: 200,
    check,
    example: "api.example.com",
};

/// Whether a pattern means everything that another one means.
pub fn covers(pattern: &str, other: &str) -> bool {
    pattern == "*"
        || pattern == other
        || pattern.strip_prefix('*').is_some_and(|end| end.starts_with('.') && other.ends_with(end))
}

/// What both lists allow.
pub fn both(tenants: &[String], operators: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for (a, b) in tenants.iter().flat_map(|a| operators.iter().map(move |b| (a, b))) {
        let narrower = if covers(b, a) {
            a
        } else if covers(a, b) {
            b
        } else {
            continue;
        };
        if !all.contains(narrower) {
            all.push(narrower.clone());
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_a_host_or_all_below_one() {
        for good in ["*", "localhost", "a.b", "*.example.com", "127.0.0.1", "x-1.example.com"] {
            assert_eq!(check(good), Ok(good.to_owned()));
        }
        for bad in ["", "*.", "a..b", "A.b", "-a.b", "a b", "http://a.b", "a.*", "**", "a.b:80", "a/b"] {
            check(bad).unwrap_err();
        }
    }

    #[test]
    fn only_what_both_allow() {
        let list = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        for (tenants, operators, both_of_them) in [
            (&["api.a.test", "b.test"][..], &["*"][..], &["api.a.test", "b.test"][..]),
            (&["*"], &["*.a.test", "b.test"], &["*.a.test", "b.test"]),
            (&["api.a.test", "a.test", "evila.test"], &["*.a.test"], &["api.a.test"]),
            (&["*.a.test"], &["*.x.a.test", "a.test"], &["*.x.a.test"]),
            (&["a.test"], &["b.test"], &[]),
            (&["a.test"], &[], &[]),
        ] {
            assert_eq!(
                both(&list(tenants), &list(operators)),
                list(both_of_them),
                "{tenants:?} {operators:?}"
            );
        }
    }
}
