//! Agents: what one can have at a time, the rest after calls, the log of states, what is told of queues on walls.

use std::time::Duration;

/// Calls of one agent at the same time: nobody talks on more.
pub const CALLS: i64 = 10;
/// Open tickets of one agent: beyond that nobody keeps an eye on them.
pub const TICKETS: i64 = 1_000;
/// Conversations of an agent who never set anything for chat: what a new `/chat/agents` has.
pub const CHATS_UNTOLD: i64 = 3;
/// Open tickets of an agent unless told otherwise: a day's work of a desk.
pub const TICKETS_UNTOLD: i64 = 20;

/// Seconds by which a rest after a call is made longer at a time: an hour, as long as a queue's own may be.
pub const EXTEND_S: i64 = 3_600;
/// How far ahead a rest may end at most: the agent who needs longer takes a break. Microseconds.
pub const WRAPUP_MOST_US: i64 = 4 * 3_600 * 1_000_000;
/// Pause between two looks for rests that are over: the agent is ready within it, and a look at an index that holds nothing
/// due costs some 0.1 ms.
pub const WRAPUP_TIME: Duration = Duration::from_millis(250);
/// Rests that one look ends; each is a transaction.
pub const WRAPUP_ROWS: i64 = 200;
/// Members at a phone where their agent no longer sits that one look moves.
pub const SEAT_ROWS: i64 = 200;

/// How long states are kept: a year can be compared with the one before. Microseconds.
pub const LOG_KEPT_US: i64 = 400 * 86_400 * 1_000_000;
/// Rows of the log that are removed in one statement.
pub const LOG_PURGE_ROWS: i64 = 1_000;
/// Rows that one report is made of: 500 agents with 200 states a day, for two days; some 60 MB while it is made.
pub const REPORT_ROWS: i64 = 200_000;
/// Time for a report.
pub const REPORT_TIME: Duration = Duration::from_secs(30);
/// Reasons of breaks that one line of a report tells apart; the others are one.
pub const REPORT_REASONS: usize = 50;

/// Agents that a list of who can take what shows: nobody looks further for one.
pub const AVAILABLE_SHOWN: usize = 500;

/// Calls of the caller that a screen pop shows.
pub const POP_CALLS: i64 = 5;
/// Open tickets of the contact that a screen pop shows.
pub const POP_TICKETS: i64 = 10;
/// Characters of a ticket's subject there.
pub const POP_SUBJECT_CHARACTERS: usize = 200;

/// How often it is looked for queues where something happened: what is told of one is at most so old.
pub const WALL_TIME: Duration = Duration::from_secs(1);
/// How far back of the last look rows of the queues' log are looked for: clocks of nodes differ, and transactions take time.
/// Microseconds.
pub const WALL_OVERLAP_US: i64 = 5_000_000;
/// Members of one tenant's queues that are counted.
pub const WALL_MEMBERS: i64 = 50_000;
/// Tenants whose numbers of the day are kept in memory; one queue takes some 500 bytes.
pub const WALL_TENANTS: u64 = 2_000;
/// Queues of one tenant that are shown and told of.
pub const WALL_QUEUES: i64 = 1_000;
/// Agents that a wall shows.
pub const WALL_AGENTS: i64 = 2_000;
