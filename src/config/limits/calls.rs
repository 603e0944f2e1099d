//! Calls: Asterisk's own records, statistics and files of call detail records.

use std::time::Duration;

/// How often Asterisk's own records are looked at. A channel's are written within moments of its end, behind its report:
/// whatever was there a round before is whole.
pub const LEGS_TIME: Duration = Duration::from_secs(3);
/// Legs that are looked at in one transaction.
pub const LEGS_BATCH: usize = 200;
/// Legs of one call: a queue tries members for hours, and each try is one.
pub const LEGS_OF_CALL: i64 = 2_000;
/// How long they are kept: a year can be compared with the one before. Microseconds.
pub const LEGS_KEPT_US: i64 = 400 * 86_400 * 1_000_000;
/// Legs that are removed in one statement.
pub const LEGS_PURGE_ROWS: i64 = 1_000;

/// Intervals of one report: three months of hours.
pub const STATS_INTERVALS: i64 = 2_300;
/// Lines of one report: some 2 MB of JSON.
pub const STATS_LINES: usize = 10_000;
/// Time for a report: adding up a few million records takes seconds.
pub const STATS_TIME: Duration = Duration::from_secs(60);

/// Records that one file can hold: what spreadsheets open.
pub const EXPORT_ROWS: i64 = 1_000_000;
/// Files that are made for one tenant at the same time.
pub const EXPORTS: i64 = 2;
/// Files that a tenant has at most, those that can still be fetched included: each may have 300 MB.
pub const EXPORTS_KEPT: i64 = 20;
/// Records that are read and written at a time.
pub const EXPORT_PAGE: usize = 1_000;
/// Pause between two such pages, so that others get their turn.
pub const EXPORT_REST: Duration = Duration::from_millis(5);
/// How often files to make are looked for.
pub const EXPORT_LOOK_TIME: Duration = Duration::from_secs(1);
/// How long a file can be fetched. Microseconds.
pub const EXPORT_KEPT_US: i64 = 24 * 3_600 * 1_000_000;
/// A file without a row is removed after this time: its request failed, or it was given up. Longer than any request.
/// Microseconds.
pub const EXPORT_WITHOUT_ROW_US: i64 = 60 * 1_000_000;
/// Bytes of a file's filters and of its columns, written compactly.
pub const EXPORT_ASKED_BYTES: usize = 4 * 1024;
