//! Events.

use std::time::Duration;

/// Characters of a type or pattern.
pub const KIND_CHARACTERS: usize = 80;
/// Bytes of an event's data. Larger records are told by their id and size: consumers want small messages (Standard
/// Webhooks: below 20 kB), and a ticket's text of 50,000 characters is read where it lies.
pub const DATA_BYTES: usize = 64 * 1024;
/// News that a slow listener may have before it; beyond, it looks at everything.
pub const NEWS: usize = 1_024;
/// How often events of other processes are looked for.
pub const HEADS_TIME: Duration = Duration::from_millis(500);
/// Every so many looks all tenants are looked at, whenever they changed: once a minute.
pub const HEADS_ALL: u64 = 120;
/// How far back beyond the last look: clocks differ, and transactions take time. Microseconds.
pub const HEADS_OVERLAP_US: i64 = 30_000_000;
/// Events removed in one statement.
pub const PURGE_ROWS: i64 = 1_000;
/// Events in a page of `GET /events` unless told.
pub const PAGE: usize = 50;
/// The same at most.
pub const PAGE_MOST: i64 = 200;
/// Events read from the database at a time: some 200 KB.
pub const READ: usize = 200;
/// Events looked at for one such page, at most: most of them may be none that the caller sees.
pub const LOOKED_AT: usize = 2_000;
/// Patterns of one subscription, endpoint or query.
pub const PATTERNS: usize = 50;
/// The unit of [`KEPT_DAYS`].
pub const DAY: Duration = Duration::from_secs(86_400);
/// Days that events are kept: shortest, usual and longest. Retries of a webhook take up to 5 days.
pub const KEPT_DAYS: (u64, u64, u64) = (7, 30, 3_650);
