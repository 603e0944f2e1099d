//! The bytes on the wire of every command, with its deadline and whether it is taken after hang-up.

use hookswitch::agi::catalogue::{ControlKeys, Record};
use hookswitch::agi::{Command, CommandError};

#[test]
fn every_command_on_the_wire() {
    let mut table = String::new();
    for command in commands().chain(media_commands()) {
        let command = command.unwrap();
        let line = String::from_utf8(command.bytes().to_vec()).unwrap();
        let dead = if command.permitted_after_hangup() { "dead" } else { "live" };
        table += &format!("{} | {dead} {:?} {:?}\n", line.trim_end(), command.deadline(), command.expect());
    }
    insta::assert_snapshot!(table);
}

type Built = Result<Command, CommandError>;

/// The line, the dialplan, variables.
fn commands() -> impl Iterator<Item = Built> {
    [
        Command::answer(),
        Command::asyncagi_break(),
        Command::channel_status(None),
        Command::channel_status(Some("PJSIP/a-1")),
        Command::database_del("f", "k"),
        Command::database_deltree("f", None),
        Command::database_deltree("f", Some("t")),
        Command::database_get("f", "k"),
        Command::database_put("f", "k", "a \"v\""),
        Command::exec("Dial", Some("PJSIP/101,20,g")),
        Command::exec("NoOp", None),
        Command::exec("MSet", Some("A=1,B=2")),
        Command::exec("Odd App", Some("")),
        Command::get_full_variable("${CALLERID(all)}", None),
        Command::get_full_variable("${EXTEN}", Some("PJSIP/a-1")),
        Command::get_framed("${CALLERID(name)}", "q7Rt2mKx"),
        Command::get_variable("EXTEN"),
        Command::get_variable("CALLERID(num)"),
        Command::gosub("sub", "s", "1", None),
        Command::gosub("sub", "s", "1", Some("a,b")),
        Command::hangup(None),
        Command::hangup(Some("PJSIP/a-1")),
        Command::noop(None),
        Command::noop(Some("text")),
        Command::set_autohangup(0),
        Command::set_callerid("\"Bob\" <5552000>"),
        Command::set_context("after agi"),
        Command::set_extension("42"),
        Command::set_music(true, Some("default")),
        Command::set_music(false, None),
        Command::set_priority("1"),
        Command::set_variable("CALLERID(name)", "Ž \\"),
        Command::set_variable("A", ""),
        Command::tdd_mode("on"),
        Command::verbose("text", 9),
    ]
    .into_iter()
}

/// Sounds, keys, text, recording, speech.
fn media_commands() -> impl Iterator<Item = Built> {
    let keys = ControlKeys { skip_ms: 3000, forward: "6", rewind: "4", pause: "5", offset_ms: 0 };
    let record = Record {
        file: "/spool/r 1",
        format: "wav",
        digits: "*#",
        timeout_ms: Some(5000),
        offset: Some(0),
        beep: true,
        silence_s: Some(3),
    };
    let endless = Record { timeout_ms: None, offset: None, beep: false, silence_s: None, ..record };
    [
        Command::control_stream_file("demo", "#", None),
        Command::control_stream_file("demo", "#", Some(keys)),
        Command::get_data("beep", None, None),
        Command::get_data("beep", Some(5000), None),
        Command::get_data("beep", Some(5000), Some(4)),
        Command::get_data("beep", None, Some(4)),
        Command::get_option("beep", "12", None),
        Command::get_option("beep", "12", Some(300)),
        Command::receive_char(0),
        Command::receive_char(2000),
        Command::receive_text(0),
        Command::receive_text(2000),
        Command::record_file(record),
        Command::record_file(endless),
        Command::say_alpha("ab", ""),
        Command::say_date(0, ""),
        Command::say_datetime(1_700_000_000, "", None, None),
        Command::say_datetime(1_700_000_000, "", Some("IMp"), None),
        Command::say_datetime(1_700_000_000, "#", None, Some("Europe/Prague")),
        Command::say_digits("0012", "*#"),
        Command::say_number(-21, "", None),
        Command::say_number(21, "", Some("f")),
        Command::say_phonetic("ab", ""),
        Command::say_time(0, ""),
        Command::send_image("logo"),
        Command::send_text("good bye"),
        Command::speech_activate_grammar("g"),
        Command::speech_create("engine"),
        Command::speech_deactivate_grammar("g"),
        Command::speech_destroy(),
        Command::speech_load_grammar("g", "/g.xml"),
        Command::speech_recognize("prompt", 3000, None),
        Command::speech_recognize("prompt", 3000, Some(800)),
        Command::speech_set("n", "v"),
        Command::speech_unload_grammar("g"),
        Command::stream_file("beep", "", None),
        Command::stream_file("beep", "0123456789*#", Some(100)),
        Command::wait_for_digit(None),
        Command::wait_for_digit(Some(200)),
    ]
    .into_iter()
}

/// asterisk#2069: Asterisk did not count quoted words against its limit of 128.
#[test]
fn no_command_has_more_words_than_asterisk_counts() {
    for command in commands().chain(media_commands()) {
        let command = command.unwrap();
        assert!(hookswitch::agi::fuzz::asterisk_words(command.bytes().trim_ascii_end()).len() <= 100);
    }
}
