//! Every AGI command of Asterisk 22: the 37 built in, SPEECH (`res_speech`) and GOSUB (`app_stack`).
//!
//! Sounds are named without extension; `digits` are the keys that interrupt (`"0123456789*#"`, `""` = none); times are
//! in milliseconds unless named otherwise. Results: see [`super::reply::Answer`]. Each function fails only as
//! [`CommandError`] says, and then nothing was sent.

use super::command::{Builder, Command, CommandError, Deadline};
use crate::config::limits::agi as limits;

/// What every constructor gives.
type Built = Result<Command, CommandError>;

/// Applications that return at once; every other may run as long as the call.
const QUICK_APPS: [&str; 10] =
    ["MSet", "Set", "NoOp", "Verbose", "Goto", "Log", "CELGenUserEvent", "UserEvent", "Ringing", "Progress"];

/// A command that plays sound.
fn plays(name: &'static str) -> Builder {
    Builder::new(name).listens(0)
}

/// Keys of [`Command::control_stream_file`].
#[derive(Debug, Clone, Copy)]
pub struct ControlKeys<'a> {
    /// How far a key skips.
    pub skip_ms: u32,
    /// Forward.
    pub forward: &'a str,
    /// Back.
    pub rewind: &'a str,
    /// Pause.
    pub pause: &'a str,
    /// Where to start.
    pub offset_ms: u32,
}

/// How [`Command::record_file`] records.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// File without extension.
    pub file: &'a str,
    /// Format, such as `wav`.
    pub format: &'a str,
    /// Keys that end it.
    pub digits: &'a str,
    /// Longest recording; `None`: until key or hang-up.
    pub timeout_ms: Option<u32>,
    /// Samples to skip in an existing file.
    pub offset: Option<u32>,
    /// Beep first.
    pub beep: bool,
    /// Seconds of silence that end it.
    pub silence_s: Option<u32>,
}

/// The line, the channel and the dialplan.
impl Command {
    /// ANSWER. 0, -1.
    pub fn answer() -> Built {
        Builder::new("ANSWER").build()
    }

    /// ASYNCAGI BREAK. Also after hang-up.
    pub fn asyncagi_break() -> Built {
        Builder::new("ASYNCAGI BREAK").dead().build()
    }

    /// CHANNEL STATUS. 0 to 7 (6 = up), -1 = no such channel.
    pub fn channel_status(channel: Option<&str>) -> Built {
        Builder::new("CHANNEL STATUS").maybe(channel).build()
    }

    /// EXEC. The application's result, -2 = unknown application. Arguments are one text, separated by commas, which
    /// the application splits: quote what comes from callers by the application's rules. Also after hang-up.
    pub fn exec(application: &str, arguments: Option<&str>) -> Built {
        let quick = QUICK_APPS.iter().any(|app| app.eq_ignore_ascii_case(application));
        let deadline = if quick { Deadline::Quick } else { Deadline::Endless };
        let exec = Builder::new("EXEC").name(application).maybe(arguments);
        exec.dead().trailing_usage().within(deadline).build()
    }

    /// GOSUB. `0` with `Gosub complete`, or -1 with `Gosub label not found`. Also after hang-up.
    pub fn gosub(context: &str, extension: &str, priority: &str, arguments: Option<&str>) -> Built {
        let gosub = Builder::new("GOSUB").word(context).word(extension).word(priority).maybe(arguments);
        gosub.dead().within(Deadline::Endless).build()
    }

    /// HANGUP. 1, -1 = no such channel.
    pub fn hangup(channel: Option<&str>) -> Built {
        Builder::new("HANGUP").maybe(channel).build()
    }

    /// NOOP. Also after hang-up.
    pub fn noop(text: Option<&str>) -> Built {
        Builder::new("NOOP").maybe(text).dead().build()
    }

    /// SET AUTOHANGUP, seconds from now; 0 = off.
    pub fn set_autohangup(seconds: u32) -> Built {
        Builder::new("SET AUTOHANGUP").number(seconds.into()).build()
    }

    /// SET CALLERID: a number or `"Name" <number>`, 255 bytes at most.
    pub fn set_callerid(caller: &str) -> Built {
        Builder::new("SET CALLERID").word(caller).build()
    }

    /// SET CONTEXT: where the dialplan goes on when the session ends.
    pub fn set_context(context: &str) -> Built {
        Builder::new("SET CONTEXT").word(context).build()
    }

    /// SET EXTENSION: see [`Command::set_context`].
    pub fn set_extension(extension: &str) -> Built {
        Builder::new("SET EXTENSION").word(extension).build()
    }

    /// SET PRIORITY: a number or a label; see [`Command::set_context`].
    pub fn set_priority(priority: &str) -> Built {
        Builder::new("SET PRIORITY").word(priority).build()
    }

    /// SET MUSIC on or off, with the class of music.
    pub fn set_music(on: bool, class: Option<&str>) -> Built {
        Builder::new("SET MUSIC").bare(if on { "on" } else { "off" }).maybe(class).build()
    }

    /// TDD MODE: `on`, `off` or `mate`.
    pub fn tdd_mode(mode: &str) -> Built {
        Builder::new("TDD MODE").word(mode).build()
    }

    /// VERBOSE: text to Asterisk's log, level 1 to 4. Also after hang-up.
    pub fn verbose(text: &str, level: u8) -> Built {
        Builder::new("VERBOSE").word(text).number(level.clamp(1, 4).into()).dead().build()
    }
}

/// Variables and the database inside Asterisk. All also after hang-up.
impl Command {
    /// GET VARIABLE. The value, cut at 1,023 bytes; `result=0` when unset.
    pub fn get_variable(name: &str) -> Built {
        Builder::new("GET VARIABLE").name(name).dead().value().build()
    }

    /// GET FULL VARIABLE. The expression is evaluated by Asterisk with all its functions (`SHELL`, `CURL`): it must
    /// never hold a caller's bytes.
    pub fn get_full_variable(expression: &str, channel: Option<&str>) -> Built {
        Builder::new("GET FULL VARIABLE").word(expression).maybe(channel).dead().value().build()
    }

    /// GET FULL VARIABLE for a value that may hold anything, line feeds and forged answers too: `token`, 8 or more
    /// random letters and digits, is put behind it and taken off again. An unset variable reads as empty.
    pub fn get_framed(expression: &str, token: &str) -> Built {
        let text = format!("{expression}{token}");
        Builder::new("GET FULL VARIABLE").word(text).dead().framed(token.as_bytes()).build()
    }

    /// SET VARIABLE. A variable, or a function such as `CALLERID(name)`.
    pub fn set_variable(name: &str, value: &str) -> Built {
        Builder::new("SET VARIABLE").name(name).word(value).dead().build()
    }

    /// DATABASE GET. The value; `result=0` when there is none.
    pub fn database_get(family: &str, key: &str) -> Built {
        Builder::new("DATABASE GET").word(family).word(key).dead().value().build()
    }

    /// DATABASE PUT. 1, 0 = failed.
    pub fn database_put(family: &str, key: &str, value: &str) -> Built {
        Builder::new("DATABASE PUT").word(family).word(key).word(value).dead().build()
    }

    /// DATABASE DEL. 1, also when the key did not exist.
    pub fn database_del(family: &str, key: &str) -> Built {
        Builder::new("DATABASE DEL").word(family).word(key).dead().build()
    }

    /// DATABASE DELTREE. 0 when something was deleted, 1 when not.
    pub fn database_deltree(family: &str, tree: Option<&str>) -> Built {
        Builder::new("DATABASE DELTREE").word(family).maybe(tree).dead().build()
    }
}

/// Sounds, keys, text and recording.
impl Command {
    /// STREAM FILE. A key's code; -1 with `endpos=0` for a missing file.
    pub fn stream_file(file: &str, digits: &str, offset: Option<u32>) -> Built {
        let play = plays("STREAM FILE").word(file).word(digits);
        match offset {
            Some(samples) => play.number(samples.into()).build(),
            None => play.build(),
        }
    }

    /// CONTROL STREAM FILE. As STREAM FILE, with keys to skip and pause; a pause has no end but the call's.
    pub fn control_stream_file(file: &str, digits: &str, keys: Option<ControlKeys<'_>>) -> Built {
        let play = Builder::new("CONTROL STREAM FILE").word(file).word(digits).within(Deadline::Endless);
        let Some(keys) = keys else { return play.build() };
        let play = play.number(keys.skip_ms.into()).word(keys.forward).word(keys.rewind).word(keys.pause);
        play.number(keys.offset_ms.into()).build()
    }

    /// GET DATA. Digits as text. The time runs anew with every digit; `None`: the channel's own times.
    pub fn get_data(file: &str, timeout_ms: Option<u32>, max_digits: Option<u32>) -> Built {
        let digits = i64::from(max_digits.unwrap_or(limits::DIGITS_AWAITED).min(limits::DIGITS_AWAITED));
        let get = Builder::new("GET DATA").word(file);
        match (timeout_ms, max_digits) {
            (None, None) => get.listens(0).build(),
            (timeout, max) => {
                let timeout = i64::from(timeout.unwrap_or(0));
                let get = get.number(timeout).listens(timeout * (digits + 1));
                match max {
                    Some(max) => get.number(max.into()).build(),
                    None => get.build(),
                }
            }
        }
    }

    /// GET OPTION. A key's code.
    pub fn get_option(file: &str, digits: &str, timeout_ms: Option<u32>) -> Built {
        let get = plays("GET OPTION").word(file).word(digits);
        match timeout_ms {
            Some(ms) => get.number(ms.into()).listens(ms.into()).build(),
            None => get.build(),
        }
    }

    /// WAIT FOR DIGIT. A key's code; `None`: for ever.
    pub fn wait_for_digit(timeout_ms: Option<u32>) -> Built {
        let ms = timeout_ms.map_or(-1, i64::from);
        Builder::new("WAIT FOR DIGIT").number(ms).listens(ms).build()
    }

    /// RECEIVE CHAR. A code; 0 = for ever.
    pub fn receive_char(timeout_ms: u32) -> Built {
        let wait = if timeout_ms == 0 { -1 } else { timeout_ms.into() };
        Builder::new("RECEIVE CHAR").number(timeout_ms.into()).listens(wait).build()
    }

    /// RECEIVE TEXT. The text; 0 = for ever.
    pub fn receive_text(timeout_ms: u32) -> Built {
        let wait = if timeout_ms == 0 { -1 } else { timeout_ms.into() };
        Builder::new("RECEIVE TEXT").number(timeout_ms.into()).listens(wait).value().build()
    }

    /// RECORD FILE. See [`super::reply::Answer::recorded`].
    pub fn record_file(record: Record<'_>) -> Built {
        let ms = record.timeout_ms.map_or(-1, i64::from);
        let mut build = Builder::new("RECORD FILE").word(record.file).word(record.format).word(record.digits);
        build = build.number(ms).listens(ms);
        if let Some(samples) = record.offset {
            build = build.number(samples.into());
        }
        if record.beep {
            build = build.bare("BEEP");
        }
        build.maybe(record.silence_s.map(|s| format!("s={s}"))).build()
    }

    /// SAY ALPHA.
    pub fn say_alpha(text: &str, digits: &str) -> Built {
        plays("SAY ALPHA").word(text).word(digits).build()
    }

    /// SAY DIGITS.
    pub fn say_digits(number: &str, digits: &str) -> Built {
        plays("SAY DIGITS").word(number).word(digits).build()
    }

    /// SAY NUMBER, in a grammatical gender where the language has one.
    pub fn say_number(number: i64, digits: &str, gender: Option<&str>) -> Built {
        plays("SAY NUMBER").number(number).word(digits).maybe(gender).build()
    }

    /// SAY PHONETIC.
    pub fn say_phonetic(text: &str, digits: &str) -> Built {
        plays("SAY PHONETIC").word(text).word(digits).build()
    }

    /// SAY DATE, seconds since 1970.
    pub fn say_date(unix: i64, digits: &str) -> Built {
        plays("SAY DATE").number(unix).word(digits).build()
    }

    /// SAY TIME, seconds since 1970.
    pub fn say_time(unix: i64, digits: &str) -> Built {
        plays("SAY TIME").number(unix).word(digits).build()
    }

    /// SAY DATETIME, seconds since 1970, with the format of `say.conf` and a time zone.
    pub fn say_datetime(unix: i64, digits: &str, format: Option<&str>, zone: Option<&str>) -> Built {
        // Positional: a zone without a format needs Asterisk's own default in between.
        let format = format.or(zone.map(|_| "ABdY 'digits/at' IMp"));
        plays("SAY DATETIME").number(unix).word(digits).maybe(format).maybe(zone).build()
    }

    /// SEND IMAGE.
    pub fn send_image(file: &str) -> Built {
        Builder::new("SEND IMAGE").word(file).build()
    }

    /// SEND TEXT.
    pub fn send_text(text: &str) -> Built {
        Builder::new("SEND TEXT").word(text).build()
    }
}

/// Speech recognition. Only with `res_speech` and an engine; ask for one command first, `510` says no
/// (asterisk/asterisk#772: a double free in older versions without an engine).
impl Command {
    /// SPEECH CREATE.
    pub fn speech_create(engine: &str) -> Built {
        Builder::new("SPEECH CREATE").word(engine).build()
    }

    /// SPEECH SET.
    pub fn speech_set(name: &str, value: &str) -> Built {
        Builder::new("SPEECH SET").word(name).word(value).build()
    }

    /// SPEECH DESTROY. Also after hang-up.
    pub fn speech_destroy() -> Built {
        Builder::new("SPEECH DESTROY").dead().build()
    }

    /// SPEECH LOAD GRAMMAR.
    pub fn speech_load_grammar(name: &str, path: &str) -> Built {
        Builder::new("SPEECH LOAD GRAMMAR").word(name).word(path).build()
    }

    /// SPEECH UNLOAD GRAMMAR. Also after hang-up.
    pub fn speech_unload_grammar(name: &str) -> Built {
        Builder::new("SPEECH UNLOAD GRAMMAR").word(name).dead().build()
    }

    /// SPEECH ACTIVATE GRAMMAR.
    pub fn speech_activate_grammar(name: &str) -> Built {
        Builder::new("SPEECH ACTIVATE GRAMMAR").word(name).build()
    }

    /// SPEECH DEACTIVATE GRAMMAR.
    pub fn speech_deactivate_grammar(name: &str) -> Built {
        Builder::new("SPEECH DEACTIVATE GRAMMAR").word(name).build()
    }

    /// SPEECH RECOGNIZE. Status word `speech`, `digit`, `hangup` or `timeout`, and attributes.
    pub fn speech_recognize(prompt: &str, timeout_ms: u32, offset: Option<u32>) -> Built {
        let ms = i64::from(timeout_ms);
        let build = Builder::new("SPEECH RECOGNIZE").word(prompt).number(ms).listens(ms);
        match offset {
            Some(samples) => build.number(samples.into()).build(),
            None => build.build(),
        }
    }
}
