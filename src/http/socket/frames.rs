//! What goes over a socket: the client's operations, what is answered, and the codes that a socket is closed with.

use serde::Deserialize;
use serde_json::json;

use crate::base::secret::Secret;
use crate::config::limits::events as limits;
use crate::events::check_pattern;

/// Why a socket is closed: the code of the closing frame and its reason, a stable name for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Closing {
    /// RFC 6455's, or from 4400.
    pub code: u16,
    /// Kebab-case.
    pub reason: &'static str,
}

macro_rules! closings {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal $reason:literal;)*) => {
        impl Closing {
            $($(#[doc = $doc])* pub const $name: Self = Self { code: $code, reason: $reason };)*
        }

        /// Every closing that a client can meet.
        pub const CLOSINGS: &[Closing] = &[$(Closing::$name),*];
    };
}

closings! {
    /// The service stops; come back to it or to another node.
    STOPPING = 1001 "server-stopping";
    /// Frames that are none.
    PROTOCOL = 1002 "protocol-error";
    /// Frames are JSON text.
    BINARY = 1003 "binary-frame";
    /// A text that is no UTF-8.
    NOT_TEXT = 1007 "not-utf-8";
    /// A frame or message of more bytes than the limit.
    TOO_LARGE = 1009 "frame-too-large";
    /// Our fault; it is in the log.
    INTERNAL = 1011 "internal";
    /// A key can't be looked up: the database is away.
    BUSY = 1013 "database-away";
    /// The first frame was not `auth`.
    BAD_FIRST = 4400 "bad-first-frame";
    /// No token or key of ours.
    UNAUTHENTICATED = 4401 "unauthenticated";
    /// The key lacks `events:read`.
    NO_SCOPE = 4403 "missing-scope";
    /// A superadmin who has not chosen a tenant.
    NO_TENANT = 4404 "no-tenant";
    /// No first frame in time.
    AUTH_TIMEOUT = 4408 "auth-timeout";
    /// The new token is of another user, tenant or role.
    OTHER_IDENTITY = 4409 "identity-changed";
    /// The access token's time is over and no new one came.
    EXPIRED = 4419 "token-expired";
    /// The user or key has too many sockets.
    TOO_MANY = 4429 "too-many-sockets";
    /// The tenant has.
    TOO_MANY_OF_TENANT = 4430 "too-many-sockets-of-tenant";
    /// The client does not read.
    SLOW = 4431 "slow-reader";
    /// The client sends more than anybody needs.
    TOO_MANY_FRAMES = 4432 "too-many-frames";
    /// Logged out, another role, a new password, suspended: the session has ended.
    SESSION_ENDED = 4440 "session-ended";
    /// The key was revoked or changed, or has expired.
    KEY_ENDED = 4441 "key-ended";
}

impl Closing {
    /// The connection broke; nobody is there to be told.
    pub(super) const LOST: Self = Self { code: 1006, reason: "connection-lost" };
    /// The client did not answer to pings.
    pub(super) const DEAD: Self = Self { code: 1006, reason: "ping-timeout" };
    /// The process ended without closing it.
    pub(super) const KILLED: Self = Self { code: 1006, reason: "process-ended" };

    /// The client closed it.
    pub(super) fn by_client(code: u16) -> Self {
        Self { code, reason: "closed-by-client" }
    }
}

/// Where a subscription begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum After {
    /// With what happens from now on, or where the one before stood.
    Here,
    /// Behind this cursor.
    Cursor(String),
}

/// What a client asks for.
#[derive(Debug)]
pub(super) enum Op {
    Auth(Secret),
    Subscribe(Vec<String>, After),
    Unsubscribe,
    Ping,
}

/// Why it can't be done; the socket goes on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused {
    pub(super) code: &'static str,
    pub(super) detail: String,
}

impl Refused {
    pub(super) fn new(code: &'static str, detail: impl Into<String>) -> Self {
        Self { code, detail: detail.into() }
    }

    /// The frame that says so.
    pub(super) fn frame(&self) -> String {
        json!({"op": "error", "code": self.code, "detail": self.detail}).to_string()
    }
}

#[derive(Deserialize)]
struct Raw {
    op: String,
    token: Option<Secret>,
    types: Option<Vec<String>>,
    after: Option<String>,
}

/// Reads a client's frame.
pub(super) fn read(text: &str) -> Result<Op, Refused> {
    let raw: Raw = serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Refused::new(
            "bad-frame",
            "A frame is {\"op\":...} with texts as its values, `types` a list of them.",
        ),
        _ => Refused::new("bad-json", format!("This is not JSON: column {}.", error.column())),
    })?;
    match raw.op.as_str() {
        "auth" => {
            Ok(Op::Auth(raw.token.ok_or_else(|| Refused::new("bad-frame", "`auth` needs a `token`."))?))
        }
        "subscribe" => {
            let types = raw.types.unwrap_or_else(|| vec!["*".to_owned()]);
            if types.is_empty() || types.len() > limits::PATTERNS {
                let why = format!("`types` are 1 to {} types; without it all are meant.", limits::PATTERNS);
                return Err(Refused::new("too-many-patterns", why));
            }
            if let Some(why) = types.iter().find_map(|pattern| check_pattern(pattern).err()) {
                return Err(Refused::new("bad-pattern", why));
            }
            Ok(Op::Subscribe(types, raw.after.map_or(After::Here, After::Cursor)))
        }
        "unsubscribe" => Ok(Op::Unsubscribe),
        "ping" => Ok(Op::Ping),
        _ => Err(Refused::new("unknown-op", "`op` is auth, subscribe, unsubscribe or ping.")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read_and_others_refused_by_name() {
        assert!(matches!(read(r#"{"op":"ping","more":1}"#), Ok(Op::Ping)));
        assert!(matches!(read(r#"{"op":"auth","token":"x"}"#), Ok(Op::Auth(t)) if t.expose() == "x"));
        let all = read(r#"{"op":"subscribe"}"#).unwrap();
        assert!(matches!(all, Op::Subscribe(types, After::Here) if types == ["*"]));
        let some = read(r#"{"op":"subscribe","types":["call.*"],"after":"c"}"#).unwrap();
        assert!(matches!(some, Op::Subscribe(_, After::Cursor(c)) if c == "c"));
        let many =
            format!(r#"{{"op":"subscribe","types":[{}]}}"#, vec![r#""a""#; limits::PATTERNS + 1].join(","));
        for (text, code) in [
            ("", "bad-json"),
            ("{", "bad-json"),
            ("nonsense", "bad-json"),
            ("[]", "bad-frame"),
            ("{}", "bad-frame"),
            (r#"{"op":1}"#, "bad-frame"),
            (r#"{"op":"auth"}"#, "bad-frame"),
            (r#"{"op":"subscribe","types":"call.*"}"#, "bad-frame"),
            (r#"{"op":"subscribe","types":[]}"#, "too-many-patterns"),
            (&many, "too-many-patterns"),
            (r#"{"op":"subscribe","types":["Call.*"]}"#, "bad-pattern"),
            (r#"{"op":"Ping"}"#, "unknown-op"),
        ] {
            assert_eq!(read(text).unwrap_err().code, code, "{text}");
        }
        assert!(!format!("{:?}", read(r#"{"op":"auth","token":"hunter2"}"#)).contains("hunter2"));
    }

    #[test]
    fn every_closing_has_a_code_and_a_reason_of_its_own_and_is_documented() {
        let document = include_str!("../../app/events.md");
        for (n, one) in CLOSINGS.iter().enumerate() {
            assert!(one.code < 1_016 || (4_000..5_000).contains(&one.code), "{one:?}");
            assert!(CLOSINGS[..n].iter().all(|o| o.code != one.code && o.reason != one.reason), "{one:?}");
            assert!(document.contains(&format!("| {} | `{}` |", one.code, one.reason)), "{one:?}");
        }
    }
}
