//! Access tokens: every way in which one can be wrong, each beside the right one.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::base::clock::from_us;
use crate::base::ids::IdSource;

/// The last second of a period.
const EDGE_S: i64 = limits::KEY_PERIOD_S * 700 - 1;

struct World {
    clock: Clock,
    ids: IdSource,
    tokens: Tokens,
}

fn world(second: i64) -> World {
    let clock = Clock::manual(from_us(second * 1_000_000));
    let tokens = Tokens::new(Secret::new("an installation's secret"), clock.clone()).unwrap();
    World { ids: IdSource::new(clock.clone()), clock, tokens }
}

impl World {
    fn set(&self, second: i64) {
        self.clock.set(from_us(second * 1_000_000));
    }

    fn issue(&self) -> String {
        let (user, session, tenant) = (self.ids.next(), self.ids.next(), TenantId::parse("acme").unwrap());
        let subject = Subject { user: &user, tenant: Some(&tenant), role: Role::Agent, session: &session };
        self.tokens.issue(&subject, self.ids.next()).unwrap().expose().to_owned()
    }

    /// A token with other claims or another header, signed with the right key.
    fn forge(&self, header: impl FnOnce(&mut Header), claims: impl FnOnce(&mut Value)) -> String {
        let token = self.issue();
        let middle = token.split('.').nth(1).unwrap();
        let mut value: Value =
            serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(middle).unwrap()).unwrap();
        claims(&mut value);
        let keys = self.tokens.keys(self.tokens.now_s()).unwrap();
        let mut head = keys.current().header.clone();
        header(&mut head);
        jsonwebtoken::encode(&head, &value, &keys.current().encoding).unwrap()
    }

    fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        self.tokens.verify(token).map(Arc::unwrap_or_clone)
    }
}

#[test]
fn a_token_says_what_was_put_in() {
    let w = world(EDGE_S - 1_000_000);
    let (user, session, jti) = (w.ids.next(), w.ids.next(), w.ids.next());
    let tenant = TenantId::parse("acme").unwrap();
    let subject = Subject { user: &user, tenant: Some(&tenant), role: Role::TenantAdmin, session: &session };
    let token = w.tokens.issue(&subject, jti.clone()).unwrap();
    let claims = w.verify(token.expose()).unwrap();
    assert_eq!((&claims.sub, &claims.sid, &claims.jti, &claims.tid), (&user, &session, &jti, &Some(tenant)));
    assert_eq!((claims.role, claims.exp - claims.iat, claims.nbf), (Role::TenantAdmin, 600, claims.iat));
    assert!(token.expose().len() < 700, "{}", token.expose().len());
    let platform = Subject { user: &user, tenant: None, role: Role::Superadmin, session: &session };
    let token = w.tokens.issue(&platform, jti).unwrap();
    assert_eq!(w.verify(token.expose()).unwrap().tid, None);
}

#[test]
fn a_token_lives_from_its_second_to_its_end() {
    let start = EDGE_S - 1_000_000;
    let w = world(start);
    let token = w.issue();
    for (second, expected) in [
        (start, None),
        (start - limits::LEEWAY_S, None),
        (start - limits::LEEWAY_S - 1, Some(TokenError::Early)),
        (start + limits::ACCESS_S, None),
        (start + limits::ACCESS_S + limits::LEEWAY_S - 1, None),
        (start + limits::ACCESS_S + limits::LEEWAY_S, Some(TokenError::Expired)),
        (start + 86_400, Some(TokenError::Expired)),
    ] {
        w.set(second);
        assert_eq!(w.verify(&token).err(), expected, "{}", second - start);
    }
}

#[test]
fn every_changed_character_is_seen() {
    let w = world(EDGE_S - 1_000_000);
    let token = w.issue();
    assert!(w.verify(&token).is_ok());
    for (n, old) in token.char_indices() {
        let new = if old == 'A' { 'B' } else { 'A' };
        let changed = format!("{}{new}{}", &token[..n], &token[n + 1..]);
        assert!(w.verify(&changed).is_err(), "{n}: {changed}");
        assert!(!w.tokens.signed.contains_key(&changed), "remembered: {n}");
    }
    let parts: Vec<&str> = token.split('.').collect();
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        "...".into(),
        parts[0].to_owned(),
        format!("{}.{}", parts[0], parts[1]),
        format!("{}.{}.", parts[0], parts[1]),
        format!("{token}.x"),
        format!(" {token}"),
        format!("{token}="),
        "é".repeat(50),
        format!("{}.{}", parts[0], "a".repeat(2_000)),
    ] {
        assert!(w.verify(&bad).is_err(), "{bad}");
    }
}

#[test]
fn only_hs256_under_a_known_key_is_taken() {
    let w = world(EDGE_S - 1_000_000);
    assert!(w.verify(&w.forge(|_| (), |_| ())).is_ok());
    for algorithm in [Algorithm::HS384, Algorithm::HS512] {
        assert_eq!(w.verify(&w.forge(|h| h.alg = algorithm, |_| ())), Err(TokenError::Form));
    }
    let kid = |text: Option<&str>| w.forge(|h| h.kid = text.map(str::to_owned), |_| ());
    for bad in [None, Some(""), Some("0"), Some("abc"), Some("../../secret")] {
        assert_eq!(w.verify(&kid(bad)), Err(TokenError::Form), "{bad:?}");
    }
    assert_eq!(w.verify(&w.forge(|h| h.typ = None, |_| ())), Err(TokenError::Form));
    // "none", in every writing, with and without a signature.
    let token = w.issue();
    let parts: Vec<&str> = token.split('.').collect();
    let kid = w.tokens.keys(w.tokens.now_s()).unwrap().current().number;
    for none in ["none", "None", "NONE", ""] {
        let head = json!({"typ": "JWT", "alg": none, "kid": kid.to_string()}).to_string();
        let head = BASE64_URL_SAFE_NO_PAD.encode(head);
        for signature in ["", parts[2]] {
            assert_eq!(w.verify(&format!("{head}.{}.{signature}", parts[1])), Err(TokenError::Form));
        }
    }
    // Another installation's.
    let other = Tokens::new(Secret::new("another secret"), w.clock.clone()).unwrap();
    assert_eq!(other.verify(&token), Err(TokenError::Invalid));
}

#[test]
fn every_claim_must_be_there_and_ours() {
    let w = world(EDGE_S - 1_000_000);
    for name in ["iss", "aud", "sub", "role", "sid", "jti", "iat", "nbf", "exp", "tid"] {
        let token = w.forge(|_| (), |claims| drop(claims.as_object_mut().unwrap().remove(name)));
        assert_eq!(w.verify(&token), Err(TokenError::Invalid), "{name}");
    }
    for (name, value) in [
        ("iss", json!("hookswitch2")),
        ("iss", json!(["hookswitch"])),
        ("aud", json!("hookswitch-chat")),
        ("aud", json!(["hookswitch-api", "x"])),
        ("sub", json!("T1")),
        ("tid", json!("T1")),
        ("tid", json!(null)),
        ("role", json!("root")),
        ("exp", json!("9999999999")),
        ("exp", json!(1e300)),
        ("nbf", json!(null)),
    ] {
        let token = w.forge(|_| (), |claims| claims[name] = value.clone());
        assert_eq!(w.verify(&token), Err(TokenError::Invalid), "{name} {value}");
    }
    assert_eq!(
        w.verify(&w.forge(|_| (), |claims| claims["nbf"] = json!(i64::from(u32::MAX)))),
        Err(TokenError::Early)
    );
    assert_eq!(w.verify(&w.forge(|_| (), |claims| claims["exp"] = json!(1))), Err(TokenError::Expired));
}

#[test]
fn keys_change_and_the_one_before_still_serves() {
    let w = world(EDGE_S);
    let old = w.issue();
    w.set(EDGE_S + 1);
    let new = w.issue();
    assert_ne!(old.split('.').next(), new.split('.').next());
    assert!(w.verify(&old).is_ok() && w.verify(&new).is_ok());
    // The key before serves through the whole next period, as far as the token lives; two periods later no more.
    w.set(EDGE_S + limits::KEY_PERIOD_S);
    assert_eq!(w.verify(&old), Err(TokenError::Expired));
    w.set(EDGE_S + limits::KEY_PERIOD_S + 1);
    assert_eq!(w.verify(&old), Err(TokenError::Form));
    // Another process, started after the change, makes the same keys.
    let other = world(EDGE_S + 1);
    assert!(other.verify(&old).is_ok() && other.verify(&new).is_ok());
}

#[test]
fn a_key_of_the_future_serves_nobody_but_a_clock_that_is_there() {
    let w = world(EDGE_S + 1 + limits::KEY_PERIOD_S);
    let (near, far) = {
        let far = w.forge(
            |_| (),
            |claims| {
                claims["iat"] = json!(1);
                claims["nbf"] = json!(1);
            },
        );
        (w.issue(), far)
    };
    // Weeks before that period begins, whatever the claims say.
    w.set(EDGE_S + 1);
    assert_eq!(w.verify(&far), Err(TokenError::Form));
    assert_eq!(w.verify(&near), Err(TokenError::Form));
    // A node whose clock is behind by no more than the leeway takes it.
    w.set(EDGE_S + limits::KEY_PERIOD_S - limits::LEEWAY_S);
    assert_eq!(w.verify(&far), Err(TokenError::Form));
    w.set(EDGE_S + 1 + limits::KEY_PERIOD_S - limits::LEEWAY_S);
    assert!(w.verify(&near).is_ok() && w.verify(&far).is_ok());
}
