//! Limits of sounds: the store, their URLs, recordings, voicemail's messages, and mail about them.

use std::time::Duration;

/// Bytes of a file that are read at a time.
pub const READ_BYTES: usize = 256 * 1024;
/// Bytes that are gathered before a part goes to the store: a minute of telephone sound has 1 MB, and S3 takes no part
/// below 5 MiB but the last.
pub const PART_BYTES: usize = 8 * 1024 * 1024;
/// Bytes of one sound: 16-bit sound of a telephone line fills 1 GiB in 18 hours.
pub const SOUND_BYTES: u64 = 1024 * 1024 * 1024;
/// Time for one sound to reach the store: 1 GiB over a slow line of 2 MiB/s would take longer, and is tried again.
pub const COPY_TIME: Duration = Duration::from_secs(300);
/// How often one request to the store is repeated at once.
pub const STORE_RETRIES: usize = 2;
/// How long such repeats may take.
pub const STORE_RETRY_TIME: Duration = Duration::from_secs(10);
/// Time for a connection to the store.
pub const STORE_CONNECT_TIME: Duration = Duration::from_secs(5);
/// Time for the head of the store's answer; it comes after a whole part was sent.
pub const STORE_ANSWER_TIME: Duration = Duration::from_secs(60);
/// Time for the store to begin with a sound that somebody wants to hear.
pub const READ_TIME: Duration = Duration::from_secs(15);
/// How long a signed URL holds: time to hear a message, and little enough for a URL that stays in some log.
pub const URL_S: i64 = 15 * 60;
/// Characters of the query of a signed URL.
pub const QUERY_CHARACTERS: usize = 200;
/// How often the spool is looked at when no call ends: what the owner of a mailbox does by a phone of elsewhere.
pub const LOOK_TIME: Duration = Duration::from_secs(30);
/// Pause between two looks while something is not finished yet.
pub const LOOK_REST: Duration = Duration::from_secs(1);
/// Rows that are worked on in one go.
pub const BATCH: i64 = 50;
/// Sounds on their way to the store at the same time.
pub const COPIES: usize = 4;
/// Seconds after the end of a call within which its recording must be there: Asterisk opens it while people talk.
pub const FILE_S: i64 = 10;
/// Seconds after the end of a call after which a recording that Asterisk never closed is taken as it is.
pub const UNCLOSED_S: i64 = 300;
/// First wait after the store refused a sound, in seconds, doubled up to [`COPY_WAIT_MOST_S`].
pub const COPY_WAIT_S: i64 = 2;
/// Longest such wait.
pub const COPY_WAIT_MOST_S: i64 = 600;
/// How often a copy is tried before it is given up: some three weeks at the longest wait.
pub const COPY_TRIES: i64 = 3_000;
/// Days that a tenant's sounds may be kept: a hundred years.
pub const DAYS_MOST: i64 = 36_500;
/// Characters of a reason that is kept with a row.
pub const REASON_CHARACTERS: usize = 200;
/// Seconds until a try, after so many: doubled, up to the longest wait.
pub const fn wait_s(tries: i64) -> i64 {
    let mut wait = COPY_WAIT_S;
    let mut n = 1;
    while n < tries && wait < COPY_WAIT_MOST_S {
        wait *= 2;
        n += 1;
    }
    if wait > COPY_WAIT_MOST_S { COPY_WAIT_MOST_S } else { wait }
}
/// Pause after a call ended before its sounds are looked for: Asterisk closes files a moment later, and several calls
/// that end together need one look.
pub const SETTLE_TIME: Duration = Duration::from_millis(300);
/// Bytes of a message's text file; Asterisk writes some 400.
pub const TEXT_FILE_BYTES: u64 = 16 * 1024;
/// Bytes of Asterisk's id of a message; it makes some 20, and the column holds so many behind a mailbox's name.
pub const MESSAGE_ID_BYTES: usize = 40;
/// How long a folder's lock is waited for: Asterisk holds it for milliseconds, and itself waits for five seconds.
pub const SPOOL_LOCK_TIME: Duration = Duration::from_millis(500);
/// Pause between two tries for it.
pub const SPOOL_LOCK_REST: Duration = Duration::from_millis(5);
/// How often messages are looked at that the API changed, or whose sound is still to be copied.
pub const DUE_TIME: Duration = Duration::from_millis(500);
/// Time for a new message's sound to reach the store before it is told of without: it follows.
pub const FIRST_COPY_TIME: Duration = Duration::from_secs(10);
/// Looks at a mailbox, one after another, that must agree before a message is taken for deleted by its owner: Asterisk
/// may be about to give it another name.
pub const LOOKS: usize = 3;
/// Pause between two of them.
pub const LOOKS_REST: Duration = Duration::from_millis(50);
/// Time for one step of a talk with the mail server.
pub const SMTP_STEP_TIME: Duration = Duration::from_secs(30);
/// Time for a whole mail to leave.
pub const SMTP_TIME: Duration = Duration::from_secs(120);
/// How long a mail is in the hands of who sends it; longer than [`SMTP_TIME`] and the store's time together.
pub const MAIL_HELD_TIME: Duration = Duration::from_secs(180);
/// How often mail that is due is looked for.
pub const MAIL_LOOK_TIME: Duration = Duration::from_secs(1);
/// Bytes of a sound that goes with a mail: mail servers commonly take 25 MB, of which base64 leaves 18.
pub const ATTACHMENT_BYTES: u64 = 10 * 1024 * 1024;
/// Tries after which a mail goes without its sound: some four minutes.
pub const SOUND_TRIES: i64 = 7;
/// Days that a mail may be tried, shortest and longest.
pub const GIVE_UP_DAYS: (u64, u64) = (1, 30);
/// A day, in microseconds.
pub const DAY_US: i64 = 24 * 3_600 * 1_000_000;
/// How long mail that is done with stays in the outbox, so that a message makes no second one.
pub const MAIL_KEPT_US: i64 = 30 * DAY_US;
/// How often sounds whose time is over are looked for.
pub const EXPIRE_TIME: Duration = Duration::from_secs(300);
/// How often the sounds of what was deleted are removed.
pub const SWEEP_TIME: Duration = Duration::from_secs(5);
/// Every so many of these, the store is looked through for destroyed tenants: once an hour.
pub const SWEEPS_FOR_TENANTS: u64 = 720;
/// Time for a message's sound to follow: others wait meanwhile, and a message of an hour has 57 MB.
pub const LATER_COPY_TIME: Duration = Duration::from_secs(60);
