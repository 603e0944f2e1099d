//! Sounds from a real Asterisk: a message that a caller left, the owner's phone and the API that both change it, mail,
//! and recordings, over a store that is away and a service that is killed.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;

use hookswitch::base::hex::hex;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::service_rest::Person;
use crate::support::asterisk::{Pbx, PbxOptions};
use crate::support::call::Call;
use crate::support::phone::Phone;
use crate::support::ports;
use crate::support::scenario::Behaviour;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::smtp::Sink;
use crate::support::wait;

on_both! {
    a_message_is_heard_mailed_and_kept_the_same,
    a_queues_calls_are_recorded_over_a_dead_store_and_a_kill,
    keys_begin_and_pause_a_recording,
}

const ANSWERS: Behaviour = Behaviour::Answers { after_ms: 100, hangs_up_after_ms: None };
const VOICEMAIL: &str = "+15550001005";
const QUEUE: &str = "+15550001000";
const CALLER: &str = "+15557770001";

/// A setting that lives as long as the test's process.
fn kept(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

/// Service and Asterisk that share a spool.
struct Studio {
    service: Service,
    pbx: Pbx,
    _link: tempfile::TempDir,
}

impl Studio {
    fn start(options: ServiceOptions) -> Self {
        // The service is there first, and its Asterisk's folder is not known yet.
        let link = tempfile::tempdir().unwrap();
        let spool = link.path().join("spool");
        let options = options.set("HOOKSWITCH_ASTERISK__SPOOL", kept(spool.display().to_string()));
        let service = Service::start(&options);
        let pbx = Pbx::start(&PbxOptions::new(service.agi()));
        std::os::unix::fs::symlink(pbx.path("spool"), spool).unwrap();
        Self { service, pbx, _link: link }
    }

    fn admin(&self) -> Person<'_> {
        Person::sign_in(&self.service, "admin@acme.test", "hookswitch-demo-1")
    }

    fn count(&self, sql: &'static str) -> i64 {
        let read = async |db: &hookswitch::db::Db| {
            hookswitch::db::db_read!(db, |p| sqlx::query_scalar(sql).fetch_one(p).await)
        };
        let count: sqlx::Result<i64> = self.service.on_db(read);
        count.unwrap()
    }

    fn message(&self, folder: &str, number: u32) -> PathBuf {
        self.pbx.path(&format!("spool/voicemail/acme/101/{folder}/msg{number:04}.wav"))
    }

    /// Leaves a message of some seconds.
    fn leave_message(&self) {
        Call::to(VOICEMAIL).from(CALLER).digits("#", 1_500).stay(4_000).expect_answered(&self.pbx);
    }

    /// The bytes behind a record's URL.
    fn hear(&self, admin: &Person<'_>, record: &str) -> Vec<u8> {
        let url = admin.get(&format!("{record}/url"))["url"].as_str().unwrap().to_owned();
        let mut stream = TcpStream::connect(self.service.http()).unwrap();
        write!(stream, "GET {url} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer[..200]));
        let head = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
        answer.split_off(head + 4)
    }
}

fn sha(bytes: &[u8]) -> Value {
    json!(hex(&Sha256::digest(bytes)))
}

/// Whether a WAV file holds more than silence.
fn is_loud(wav: &[u8]) -> bool {
    let loud =
        wav[44..].chunks_exact(2).filter(|two| i16::from_le_bytes([two[0], two[1]]).unsigned_abs() > 500);
    loud.count() > 1_000
}

fn a_message_is_heard_mailed_and_kept_the_same(database: Database) {
    let address = SocketAddr::from(([127, 0, 0, 1], ports::free::<1>()[0]));
    let options = ServiceOptions::new(database)
        .set("HOOKSWITCH_MAIL__URL", kept(format!("smtp://{address}")))
        .set("HOOKSWITCH_MAIL__FROM", "Voicemail <voicemail@hookswitch.test>")
        .change("UPDATE mailboxes SET email = 'ann@acme.test' WHERE tenant_id = 'acme' AND name = '101'");
    let mut studio = Studio::start(options);
    studio.pbx.cli("module load res_pjsip_logger.so");
    studio.pbx.cli("pjsip set logger on");
    let phone = Phone::start(&studio.pbx, "acme-101", Behaviour::NeverAnswers);
    studio.leave_message();

    // One row, one event, the call it came from, and the same bytes everywhere.
    let admin = studio.admin();
    let row = admin.wait_list("/voicemails", 1).remove(0);
    let file = std::fs::read(studio.message("INBOX", 0)).unwrap();
    assert!(is_loud(&file), "{} bytes", file.len());
    let told = (&row["caller_number"], &row["caller_name"], &row["mailbox"], &row["folder"], &row["is_read"]);
    assert_eq!(
        told,
        (&json!(CALLER), &json!("Vera Important"), &json!("101"), &json!("INBOX"), &json!(false)),
        "{row}"
    );
    assert!(row["duration_ms"].as_i64().unwrap() > 1_500, "{row}");
    assert_eq!((&row["sha256"], &row["bytes"]), (&sha(&file), &json!(file.len())), "{row}");
    assert_eq!(row["call_id"], admin.list("/calls")[0]["id"], "{row}");
    let first = format!("/voicemails/{}", row["id"].as_str().unwrap());
    assert_eq!(studio.hear(&admin, &first), file);
    assert_eq!(studio.count("SELECT COUNT(*) FROM events WHERE kind = 'voicemail.received'"), 1);

    // The mail server is not there yet, and the service dies over it: one mail comes, once.
    drop(admin);
    studio.service.kill();
    let sink = Sink::start(address, 1);
    studio.service.start_again();
    let mail = sink.wait(1).remove(0);
    assert_eq!(mail.to, "ann@acme.test");
    for part in ["Subject: Voicemail from Vera Important", "audio/wav", "voicemail-101-", "+15557770001"] {
        assert!(mail.text.contains(part), "{part}: {}", &mail.text[..1_500]);
    }

    // Read over the API: Asterisk has it among the old ones, and its phone is told.
    let admin = studio.admin();
    wait::until("a lamp", || studio.pbx.log().contains("Voice-Message: 1/0").then_some(()));
    admin.ask("PATCH", &first, &json!({"is_read": true}), 200);
    wait::until("the message to move", || studio.message("Old", 0).exists().then_some(()));
    assert!(!studio.message("INBOX", 0).exists());
    wait::until("the lamp to go out", || studio.pbx.log().contains("Voice-Message: 0/1").then_some(()));
    assert_eq!(std::fs::read(studio.message("Old", 0)).unwrap(), file);
    assert_eq!(admin.get(&first)["folder"], "Old");

    // Another one, heard by phone: read in the API.
    studio.leave_message();
    let unread = admin.wait_list("/voicemails?is_read=false", 1).remove(0);
    Call::to("*97").by_phone("acme-101").digits("1", 4_000).stay(18_000).expect_answered(&studio.pbx);
    assert_eq!(admin.wait_list("/voicemails?is_read=false", 0).len(), 0);
    let heard = admin.get(&format!("/voicemails/{}", unread["id"].as_str().unwrap()));
    assert_eq!((&heard["folder"], &heard["is_read"]), (&json!("Old"), &json!(true)), "{heard}");
    assert!(studio.message("Old", 1).exists());

    // Deleted over the API: Asterisk has one message left, and no gap before it.
    admin.ask("DELETE", &first, &Value::Null, 204);
    wait::until("the message to go", || (!studio.message("Old", 1).exists()).then_some(()));
    assert_eq!(sha(&std::fs::read(studio.message("Old", 0)).unwrap()), heard["sha256"]);
    assert_eq!(sink.wait(2).len(), 2, "one for each message");
    let stranger = Person::sign_in(&studio.service, "admin@globex.test", "hookswitch-demo-1");
    assert_eq!(stranger.list("/voicemails"), [Value::Null; 0]);
    stranger.ask("GET", &format!("{first}/url"), &Value::Null, 404);
    drop(phone);
}

fn a_queues_calls_are_recorded_over_a_dead_store_and_a_kill(database: Database) {
    let options = ServiceOptions::new(database)
        .change("UPDATE queues SET record = 1 WHERE tenant_id = 'acme' AND name = 'support'")
        .change("UPDATE tenants SET recording_announcement = 'beep' WHERE id = 'acme'");
    let mut studio = Studio::start(options);
    let _phone = Phone::start(&studio.pbx, "acme-102", ANSWERS);
    let call = || Call::to(QUEUE).from(CALLER).stay(3_000).expect_answered(&studio.pbx);
    call();
    assert!(studio.pbx.log().contains("Playing 'beep"), "the caller is told first");
    let admin = studio.admin();
    let row = admin.wait_list("/recordings?status=completed", 1).remove(0);
    let id = row["id"].as_str().unwrap();
    let bytes = studio.hear(&admin, &format!("/recordings/{id}"));
    assert_eq!((sha(&bytes), json!(bytes.len())), (row["sha256"].clone(), row["bytes"].clone()));
    assert!(is_loud(&bytes) && row["duration_ms"].as_i64().unwrap() >= 2_000, "{row}");
    assert_eq!((&row["queue"], &row["call_id"]), (&json!("support"), &json!(id)));
    assert_eq!(admin.wait_list("/cdrs", 1)[0]["recording_id"], id);
    let monitor = |id: &str| studio.pbx.path(&format!("spool/monitor/{id}.wav"));
    wait::until("Asterisk's file to go", || (!monitor(id).exists()).then_some(()));

    // The store is away: the call does not notice, the recording waits, also over the death of the service.
    let (sounds, away) = (studio.service.data().join("sounds"), studio.service.data().join("sounds.away"));
    std::fs::rename(&sounds, &away).unwrap();
    std::fs::write(&sounds, "no folder").unwrap();
    call();
    let waiting = wait::until("a recording that waits", || {
        let rows = admin.list("/recordings?status=recording");
        rows.into_iter().find(|row| !row["error"].is_null())
    });
    let second = waiting["id"].as_str().unwrap().to_owned();
    assert!(monitor(&second).exists());
    let file = std::fs::read(monitor(&second)).unwrap();
    drop(admin);
    studio.service.kill();
    std::fs::remove_file(&sounds).unwrap();
    std::fs::rename(&away, &sounds).unwrap();
    studio.service.start_again();
    let admin = studio.admin();
    admin.wait_list("/recordings?status=completed", 2);
    assert_eq!(studio.hear(&admin, &format!("/recordings/{second}")), file);
    assert_eq!(studio.count("SELECT COUNT(*) FROM events WHERE kind = 'call.recording.ready'"), 2);
    let stranger = Person::sign_in(&studio.service, "admin@globex.test", "hookswitch-demo-1");
    assert_eq!(stranger.list("/recordings"), [Value::Null; 0]);
}

fn keys_begin_and_pause_a_recording(database: Database) {
    let studio = Studio::start(ServiceOptions::new(database));
    let outside = Phone::start(&studio.pbx, "carrier", ANSWERS);
    // Two seconds in it, two in the pause, two in it again.
    let call = Call::to("+15559990000").by_phone("acme-101").digits("*", 1_000).digits("1", 200);
    let call = call.digits("*", 2_000).digits("2", 200).digits("*", 2_000).digits("2", 200);
    call.stay(2_000).expect_answered(&studio.pbx);
    let admin = studio.admin();
    let row = admin.wait_list("/recordings?status=completed", 1).remove(0);
    let length = row["duration_ms"].as_i64().unwrap();
    assert!((3_000..5_900).contains(&length), "{row}");
    assert!(is_loud(&studio.hear(&admin, &format!("/recordings/{}", row["id"].as_str().unwrap()))));
    assert_eq!(admin.list("/calls")[0]["id"], row["call_id"]);

    // An agent's keys, on the caller's channel.
    let _agent = Phone::start(&studio.pbx, "acme-102", Behaviour::Presses(&[('*', 1_000), ('1', 200)]));
    Call::to(QUEUE).from(CALLER).stay(4_000).expect_answered(&studio.pbx);
    let rows = admin.wait_list("/recordings?status=completed&queue=support", 1);
    assert!((1_500..4_500).contains(&rows[0]["duration_ms"].as_i64().unwrap()), "{rows:?}");

    // Who is called from outside has no such keys, and without them nothing is recorded.
    drop(outside);
    let _outside = Phone::start(&studio.pbx, "carrier", Behaviour::Presses(&[('*', 500), ('1', 200)]));
    Call::to("+15559990000").by_phone("acme-101").stay(2_500).expect_answered(&studio.pbx);
    studio.pbx.wait_idle();
    studio.service.wait_drained();
    assert_eq!(admin.list("/recordings").len(), 2);
}
