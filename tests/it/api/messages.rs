//! Messages between Asterisk's spool and the rows: both ways, once, over a store that is away and a process that dies; and
//! the mail about them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use hookswitch::base::hex::hex;
use hookswitch::base::ids::Id;
use hookswitch::mail::{self, MailSettings, Mailer};
use hookswitch::storage::{Storage, StorageSettings};
use hookswitch::voicemail::keep::Keeper;
use hookswitch::voicemail::retention;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::calls::NODE;
use super::sound::wav;
use super::telephony::Desk;
use crate::smtp::Sink;
use crate::support::both_databases;

struct Post {
    desk: Desk,
    keeper: Keeper,
    spool: PathBuf,
}

impl Post {
    async fn new(test: Arc<crate::support::TestDb>) -> Self {
        let spool = test.folder().join("spool");
        let desk = Desk::new(test).await;
        desk.furnish().await;
        let keeper = Self::keeper(&desk, spool.clone());
        Self { desk, keeper, spool }
    }

    /// As a process that has just started.
    fn keeper(desk: &Desk, spool: PathBuf) -> Keeper {
        let gate = &desk.app.gate;
        Keeper {
            db: gate.db.clone(),
            clock: gate.clock.clone(),
            ids: gate.ids.clone(),
            events: Arc::clone(&gate.events),
            storage: desk.app.storage.clone(),
            spool,
            node: Id::parse(NODE).unwrap(),
            mails: true,
            seen: HashMap::new(),
        }
    }

    fn folder(&self, tenant: &str, folder: &str) -> PathBuf {
        self.spool.join("voicemail").join(tenant).join("101").join(folder)
    }

    /// A message as `app_voicemail` leaves it.
    fn leave(&self, tenant: &str, number: u32, id: &str) {
        let folder = self.folder(tenant, "INBOX");
        std::fs::create_dir_all(&folder).unwrap();
        let stem = folder.join(format!("msg{number:04}"));
        std::fs::write(stem.with_extension("wav"), wav(number as u8)).unwrap();
        let text = format!(
            "[message]\ncallerid=\"Ann\" <+15557770009>\norigtime=1795341600\ncategory=\nmsg_id={id}\nduration=1\n"
        );
        std::fs::write(stem.with_extension("txt"), text).unwrap();
    }

    /// What the owner does in the menu.
    fn by_phone(&self, from: &str, number: u32, to: Option<(&str, u32)>) {
        for ending in ["wav", "txt"] {
            let file = self.folder("acme", from).join(format!("msg{number:04}.{ending}"));
            match to {
                None => std::fs::remove_file(file).unwrap(),
                Some((folder, number)) => {
                    let folder = self.folder("acme", folder);
                    std::fs::create_dir_all(&folder).unwrap();
                    std::fs::rename(file, folder.join(format!("msg{number:04}.{ending}"))).unwrap();
                }
            }
        }
    }

    fn has(&self, folder: &str, number: u32) -> bool {
        self.folder("acme", folder).join(format!("msg{number:04}.wav")).exists()
    }

    async fn rows(&self) -> Vec<Value> {
        let list = self.desk.app.get("/voicemails?sort=received_at", &self.desk.admin).await.expect(200);
        list.body["data"].as_array().unwrap().clone()
    }

    async fn row(&self) -> Value {
        let mut rows = self.rows().await;
        assert_eq!(rows.len(), 1, "{rows:?}");
        rows.remove(0)
    }

    async fn events(&self, kind: &str) -> i64 {
        self.desk.app.test.number(&format!("SELECT COUNT(*) FROM events WHERE kind = '{kind}'")).await
    }

    async fn change(&self, row: &Value, given: Value) {
        let path = format!("/voicemails/{}", row["id"].as_str().unwrap());
        self.desk.app.patch(&path, &self.desk.agent, given).await.expect(200);
    }

    fn desk_of_mail(&self, address: SocketAddr) -> mail::Desk {
        let settings = MailSettings {
            url: hookswitch::base::secret::Secret::new(format!("smtp://{address}")),
            from: "Voicemail <voicemail@hookswitch.test>".into(),
            give_up: Duration::from_secs(86_400),
        };
        mail::Desk {
            db: self.keeper.db.clone(),
            clock: self.keeper.clock.clone(),
            storage: self.keeper.storage.clone(),
            mailer: Mailer::open(&settings).unwrap().unwrap(),
            give_up: settings.give_up,
        }
    }
}

/// A port where nobody listens.
fn nobody() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

both_databases! {
    /// One row and one event for each message, however often it is seen and whoever else has one of the same id.
    async fn a_message_comes_once(test) {
        let mut post = Post::new(test).await;
        post.leave("acme", 0, "17-00000001");
        post.leave("globex", 0, "17-00000001");
        post.leave("nobody", 0, "17-00000001");
        post.keeper.look().await;
        post.keeper.look().await;
        let mut next = Post::keeper(&post.desk, post.spool.clone());
        next.look().await;
        let row = post.row().await;
        let sound = wav(0);
        let told = (&row["mailbox"], &row["folder"], &row["sha256"], &row["duration_ms"], &row["sound_error"]);
        assert_eq!(told, (&json!("101"), &json!("INBOX"), &json!(hex(&Sha256::digest(&sound))), &json!(1_000), &Value::Null));
        assert_eq!(post.events("voicemail.received").await, 2, "one of each tenant that there is");
        let other = post.desk.app.get("/voicemails", &post.desk.other).await.expect(200);
        assert_eq!(other.body["data"].as_array().unwrap().len(), 1);
        let path = format!("/voicemails/{}", row["id"].as_str().unwrap());
        post.desk.app.get(&path, &post.desk.other).await.expect(404);
        post.desk.app.get(&format!("{path}/url"), &post.desk.other).await.expect(404);
        post.desk.app.get(&format!("{path}/url"), &post.desk.agent).await.expect(200);
    }

    /// What the API changes happens to the files, and what the owner does by phone comes into the rows.
    async fn both_sides_follow_each_other(test) {
        let mut post = Post::new(test).await;
        (0..3).for_each(|n| post.leave("acme", n, &format!("17-{n}")));
        post.keeper.look().await;
        let rows = post.rows().await;
        let sound = |n: u8| json!(hex(&Sha256::digest(wav(n))));
        let of = |n: u8| rows.iter().find(|row| row["sha256"] == sound(n)).unwrap();
        // Read over the API: among the old ones, without a gap behind it.
        post.change(of(0), json!({"is_read": true})).await;
        post.keeper.due().await;
        assert!(post.has("Old", 0) && post.has("INBOX", 1) && !post.has("INBOX", 2));
        // Heard by phone, while the process is not there.
        post.by_phone("INBOX", 0, Some(("Old", 1)));
        let mut next = Post::keeper(&post.desk, post.spool.clone());
        next.look().await;
        let shown = async |n: u8| post.rows().await.into_iter().find(|row| row["sha256"] == sound(n));
        let heard = shown(1).await.unwrap();
        assert_eq!((&heard["folder"], &heard["is_read"], heard["read_at"].is_null()), (&json!("Old"), &json!(true), false));
        // In the menu: the files stay where Asterisk counts on them.
        post.desk.app.test.execute("INSERT INTO calls (id, tenant_id, direction, did, caller_number, caller_name, channel, \
            uniqueid, linkedid, language, action, target, reason, started_at) VALUES ('01arz3ndektsv4rrffq69g5faa', 'acme', \
            'internal', '*97', '', '', '', '', '', '', 'voicemail', '101@acme', 'voicemail-check', 1)").await.unwrap();
        post.change(of(0), json!({"is_read": false})).await;
        next.due().await;
        assert!(post.has("Old", 0) && post.has("Old", 1) && !post.has("INBOX", 2));
        post.desk.app.test.execute("UPDATE calls SET ended_at = 2").await.unwrap();
        post.desk.app.wait(Duration::from_secs(2));
        next.due().await;
        assert!(post.has("Old", 0) && !post.has("Old", 1) && post.has("INBOX", 2));
        // Deleted by phone, and over the API.
        post.by_phone("Old", 0, None);
        next.look().await;
        assert!(shown(1).await.is_none());
        let path = format!("/voicemails/{}", of(2)["id"].as_str().unwrap());
        post.desk.app.delete(&path, &post.desk.supervisor).await.expect(204);
        next.due().await;
        assert_eq!(post.events("voicemail.deleted").await, 2);
        assert!(post.has("INBOX", 0) && !post.has("INBOX", 1));
        assert_eq!(post.row().await["sha256"], sound(0));
        let (db, clock) = (&next.db, &next.clock);
        assert_eq!(retention::remove_sounds(db, clock, &next.storage).await.unwrap(), 2);
        let left = std::fs::read_dir(post.desk.app.test.folder().join("sounds/acme/voicemails")).unwrap().count();
        assert_eq!(left, 1);
    }

    /// A store that is away holds no message up; the sound follows. A tenant without room is told so.
    async fn a_sound_follows_its_message(test) {
        let mut post = Post::new(test).await;
        let folder = post.desk.app.test.folder().join("away");
        let away = Storage::open(&StorageSettings { folder: folder.clone(), ..StorageSettings::default() }).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        std::fs::write(&folder, "no folder").unwrap();
        let working = std::mem::replace(&mut post.keeper.storage, away);
        post.leave("acme", 0, "17-1");
        post.keeper.look().await;
        let row = post.row().await;
        assert!(row["sound_error"].as_str().unwrap().contains("store"), "{row}");
        let url = format!("/voicemails/{}/url", row["id"].as_str().unwrap());
        post.desk.app.get(&url, &post.desk.agent).await.expect(409);
        post.desk.app.test.execute("UPDATE tenants SET max_storage_mib = 1 WHERE id = 'acme'").await.unwrap();
        post.desk.app.test.execute("UPDATE voicemails SET bytes = 1048000").await.unwrap();
        post.keeper.storage = working;
        post.desk.app.wait(Duration::from_secs(10));
        post.keeper.due().await;
        assert!(post.row().await["sound_error"].as_str().unwrap().contains("max_storage_mib"));
        post.desk.app.test.execute("UPDATE tenants SET max_storage_mib = 2 WHERE id = 'acme'").await.unwrap();
        post.desk.app.test.execute("UPDATE voicemails SET copy_at = 1").await.unwrap();
        let mut next = Post::keeper(&post.desk, post.spool.clone());
        next.due().await;
        let row = post.row().await;
        assert_eq!((&row["sound_error"], &row["sha256"]), (&Value::Null, &json!(hex(&Sha256::digest(wav(0))))));
        post.desk.app.get(&url, &post.desk.agent).await.expect(200);
    }

    /// Messages end with their time, with Asterisk's files and the sounds.
    async fn messages_end_with_their_time(test) {
        let mut post = Post::new(test).await;
        post.leave("acme", 0, "17-1");
        post.leave("globex", 0, "17-1");
        post.keeper.look().await;
        post.desk.app.patch("/tenants/acme", &post.desk.admin, json!({"voicemail_days": 1})).await.expect(200);
        post.desk.app.test.execute("UPDATE voicemails SET received_at = 1").await.unwrap();
        assert_eq!(post.keeper.expire().await.unwrap(), 1);
        assert!(post.rows().await.is_empty() && post.has("INBOX", 0));
        post.keeper.due().await;
        assert!(!post.has("INBOX", 0));
        assert_eq!(post.events("voicemail.deleted").await, 1);
        let kept = &post.keeper;
        assert_eq!(retention::remove_sounds(&kept.db, &kept.clock, &kept.storage).await.unwrap(), 1);
        let other = post.desk.app.get("/voicemails", &post.desk.other).await.expect(200);
        assert_eq!(other.body["data"].as_array().unwrap().len(), 1);
        assert!(post.folder("globex", "INBOX").join("msg0000.wav").exists());
    }

    /// A mail is written with its message, tried until it is taken, and never sent again; what was mailed goes, if asked.
    async fn a_mail_leaves_once(test) {
        let mut post = Post::new(test).await;
        let boxes = post.desk.app.get("/mailboxes", &post.desk.admin).await.expect(200);
        let mailbox = format!("/mailboxes/{}", boxes.body["data"][0]["id"].as_str().unwrap());
        let given = json!({"email": "ann@acme.test", "delete_after_mail": true});
        post.desk.app.patch(&mailbox, &post.desk.admin, given).await.expect(200);
        post.leave("acme", 0, "17-1");
        post.keeper.look().await;
        let address = nobody();
        let desk = post.desk_of_mail(address);
        let outbox = async |post: &Post| post.desk.app.test.texts("SELECT CONCAT(status, ' ', tries, ' ', error) FROM mail_outbox").await;
        desk.round().await.unwrap();
        let waits = outbox(&post).await.remove(0);
        assert!(waits.starts_with("waiting 1 ") && waits.len() > 12, "{waits}");
        desk.round().await.unwrap();
        assert!(outbox(&post).await[0].starts_with("waiting 1 "), "not before its time");
        // Taken in hand by a process that died: nobody's until its time is over.
        let due = mail::outbox::due(&post.keeper.db, i64::MAX).await.unwrap().remove(0);
        let now_us = post.keeper.clock.now_us();
        assert!(mail::outbox::take(&post.keeper.db, &due, now_us + 60_000_000).await.unwrap());
        assert!(!mail::outbox::take(&post.keeper.db, &due, now_us + 60_000_000).await.unwrap());
        let sink = Sink::start(address, 1);
        post.desk.app.wait(Duration::from_secs(59));
        desk.round().await.unwrap();
        assert!(sink.mails().is_empty());
        post.desk.app.wait(Duration::from_secs(2));
        desk.round().await.unwrap();
        assert!(outbox(&post).await[0].starts_with("waiting 3 "), "the server said: later");
        post.desk.app.wait(Duration::from_secs(60));
        desk.round().await.unwrap();
        desk.round().await.unwrap();
        let mails = sink.mails();
        assert_eq!((mails.len(), mails[0].to.as_str()), (1, "ann@acme.test"));
        assert!(mails[0].text.contains("audio/wav") && mails[0].text.contains("Subject: Voicemail from Ann (+15557770009)"));
        assert_eq!(outbox(&post).await, ["sent 4 "]);
        assert_eq!(post.rows().await.len(), 1);
        post.keeper.due().await;
        assert!(post.rows().await.is_empty());
        post.keeper.due().await;
        assert!(!post.has("INBOX", 0));
        post.desk.app.wait(Duration::from_secs(86_400));
        desk.round().await.unwrap();
        assert_eq!(sink.mails().len(), 1);
    }

    /// A mail that nobody takes is given up, and says why; one to an address that is none at once.
    async fn a_mail_is_given_up(test) {
        let mut post = Post::new(test).await;
        post.desk.app.test.execute("UPDATE mailboxes SET email = 'ann@acme.test'").await.unwrap();
        post.leave("acme", 0, "17-1");
        post.keeper.look().await;
        let desk = post.desk_of_mail(nobody());
        desk.round().await.unwrap();
        post.desk.app.wait(Duration::from_secs(90_000));
        desk.round().await.unwrap();
        let status = async |post: &Post| post.desk.app.test.texts("SELECT status FROM mail_outbox ORDER BY created_at, id").await;
        assert_eq!(status(&post).await, ["failed"]);
        assert!(!post.desk.app.test.texts("SELECT error FROM mail_outbox").await[0].is_empty());
        post.desk.app.test.execute("UPDATE mailboxes SET email = 'no address'").await.unwrap();
        post.leave("acme", 1, "17-2");
        post.keeper.look().await;
        desk.round().await.unwrap();
        assert_eq!(status(&post).await, ["failed", "failed"]);
    }

    /// What a mailbox may be, and what Asterisk hears of it: the PIN is never shown again.
    async fn a_mailbox_is_as_it_is_set(test) {
        let post = Post::new(test).await;
        let made = post.desk.make("/mailboxes", json!({
            "name": "102", "pin": "4711", "max_messages": 5, "max_message_s": 60, "language": "de"
        })).await;
        assert!(made.body.get("pin").is_none(), "{:?}", made.body);
        for bad in [json!({"pin": "123"}), json!({"pin": "12a4"}), json!({"max_messages": 0}), json!({"max_message_s": 3_601})] {
            post.desk.app.patch(&format!("/mailboxes/{}", made.id()), &post.desk.admin, bad).await.expect(422);
        }
        let of = async |name: &str| {
            let name = crate::support::name(name);
            let row = hookswitch::voicemail::store::row(&post.keeper.db, &crate::support::tenant("acme"), &name).await;
            row.unwrap().unwrap().into_iter().collect::<HashMap<_, _>>()
        };
        let asked = of("102").await;
        let told = ["password", "maxmsg", "maxsecs", "language"].map(|column| asked[column].as_str());
        assert_eq!(told, ["-4711", "5", "60", "de"]);
        assert_eq!(of("101").await["password"], "-x", "no PIN: nobody can dial it");
    }
}
