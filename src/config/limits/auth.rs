//! Logins, tokens, keys.

use std::time::Duration;

/// Microseconds of one second, for times of the database.
const SECOND_US: i64 = 1_000_000;
const HOUR_US: i64 = 3_600 * SECOND_US;
const DAY_US: i64 = 24 * HOUR_US;

/// Characters of a password, at least. No rules of composition: length is what counts (NIST SP 800-63B).
pub const PASSWORD_MIN_CHARS: usize = 12;
/// Characters of a password, at most: any passphrase fits, and nobody makes us hash a book.
pub const PASSWORD_MAX_CHARS: usize = 256;
/// argon2id: KiB of memory for one hash (OWASP's second choice: 19 MiB, two passes, one lane).
pub const ARGON2_KIB: u32 = 19_456;
/// argon2id: passes over the memory.
pub const ARGON2_PASSES: u32 = 2;
/// argon2id: lanes.
pub const ARGON2_LANES: u32 = 1;
/// A stored hash that asks for more KiB is not tried: no row of ours can, and it would be a lever against the memory.
pub const ARGON2_KIB_MAX: u32 = 65_536;
/// A stored hash that asks for more passes or lanes is not tried.
pub const ARGON2_PASSES_MAX: u32 = 10;
/// A stored bcrypt hash of a higher cost is not tried: 14 already takes about a second.
pub const BCRYPT_COST_MAX: u32 = 14;
/// Hashes at a time. Each takes 19 MiB and a processor for some 20 ms; four keep it below 80 MiB.
pub const HASHES: usize = 4;
/// Hashes that wait for their turn; beyond, "busy" at once. The last one waits about 1.5 s on two processors.
pub const HASHES_WAITING: usize = 128;
/// What "busy" asks callers to wait.
pub const BUSY_RETRY: Duration = Duration::from_secs(2);

/// Failures of an account that cost nothing: people mistype.
pub const FREE_FAILURES: u32 = 5;
/// The first delay, after the last free failure; it doubles with each further one. Microseconds.
pub const LOCK_FIRST_US: i64 = SECOND_US;
/// The longest delay: no more, or locking somebody out would be a weapon. Microseconds.
pub const LOCK_MAX_US: i64 = 15 * 60 * SECOND_US;
/// Failures count from zero again after so long without one. Microseconds.
pub const LOCK_FORGET_US: i64 = DAY_US;
/// Unknown emails whose failures are counted; some 200 bytes each. The least used are forgotten first.
pub const UNKNOWN_EMAILS: u64 = 100_000;

/// Seconds that an access token lives: what a stolen one is worth, and how often a client comes back.
pub const ACCESS_S: i64 = 600;
/// Seconds that clocks of two nodes may differ.
pub const LEEWAY_S: i64 = 5;
/// Seconds that one signing key serves; the one before it still verifies.
pub const KEY_PERIOD_S: i64 = 30 * 24 * 3_600;
/// Bytes of an access token. Ours have about 500.
pub const ACCESS_BYTES: usize = 1_024;
/// Bytes of any other token or key of ours that is looked at; they have 47 to 60.
pub const SECRET_TEXT_BYTES: usize = 128;

/// A session ends when it was not used for so long. Microseconds.
pub const SESSION_IDLE_US: i64 = 30 * DAY_US;
/// A session ends so long after its login, whatever happens. Microseconds.
pub const SESSION_US: i64 = 90 * DAY_US;
/// A refresh token presented again within this time gets the same successor: a double click, two tabs that woke up
/// together, a retry of the network's. Too short for a thief to wait for. Microseconds.
pub const REFRESH_TWICE_US: i64 = 10 * SECOND_US;
/// A refresh token presented again within this time, its successor unused, means that the answer was lost: the
/// successor is withdrawn and another one issued. A phone in a tunnel retries within a minute; a client that got
/// the answer uses its access token for [`ACCESS_S`] and shows the successor only then. Microseconds.
pub const REFRESH_GRACE_US: i64 = 60 * SECOND_US;
/// Used refresh tokens are kept for so long, so that a thief who shows one ends the session. Microseconds.
pub const CONSUMED_KEPT_US: i64 = 7 * DAY_US;
/// Living sessions that a user is shown at most, the last used first.
pub const SESSIONS_SHOWN: i64 = 100;
/// Ended sessions are kept for so long, for whoever asks what happened. Microseconds.
pub const ENDED_KEPT_US: i64 = 30 * DAY_US;
/// Characters of a user agent that are kept.
pub const USER_AGENT_CHARS: usize = 200;
/// Revocations of other processes are looked for so far back beyond the last look: their clocks may differ, and
/// their transactions take time. Microseconds.
pub const REVOKED_OVERLAP_US: i64 = 60 * SECOND_US;

/// Seconds of one TOTP code (RFC 6238).
pub const TOTP_STEP_S: u64 = 30;
/// TOTP codes before and after the present one that are taken: phones' clocks drift.
pub const TOTP_SKEW: u16 = 1;
/// Bytes of a TOTP secret (RFC 4226 recommends 160 bits).
pub const TOTP_SECRET_BYTES: usize = 20;
/// Recovery codes that a user gets.
pub const RECOVERY_CODES: usize = 10;

/// A password reset token lives so long. Microseconds.
pub const RESET_US: i64 = HOUR_US;

/// Scopes of one API key.
pub const SCOPES: usize = 50;
/// Characters of a scope's resource.
pub const SCOPE_CHARS: usize = 40;
/// What is known of an API key is read again after so long: how late another process hears of a revocation.
pub const KEY_CACHE_US: i64 = 10 * SECOND_US;
/// API keys in memory, unknown ones included, and access tokens; some 500 bytes each, 1 KiB for a token.
pub const KEYS_CACHED: u64 = 10_000;
/// How often sessions that other processes ended are looked for: how long a revoked token lives on elsewhere.
pub const REVOKED_TIME: Duration = Duration::from_secs(1);
/// How often the last uses of API keys are written.
pub const KEY_FLUSH_TIME: Duration = Duration::from_secs(5);
/// The last use of an API key is written at most this often. Microseconds.
pub const KEY_USE_US: i64 = 60 * SECOND_US;
