//! Call detail records on both databases: statistics against a fold of the rows, files, Asterisk's own records.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono_tz::Tz;
use hookswitch::base::clock::from_us;
use hookswitch::base::report::Interval;
use hookswitch::base::role::Role;
use hookswitch::base::shutdown;
use hookswitch::calls::cdr::Disposition;
use hookswitch::calls::exports::Exporter;
use hookswitch::calls::legs_store;
use hookswitch::calls::stats::{Counted, Sums};
use hookswitch::config::limits::calls as limits;
use serde_json::{Value, json};

use crate::api::app::{Answer, Person, TestApp};
use crate::api::calls::{Drain, began, end, ended};
use crate::api::telephony::Desk;
use crate::support::{both_databases, eventually};

const MINUTE_US: i64 = 60_000_000;
const DAY_US: i64 = 24 * 60 * MINUTE_US;

/// Numbers that look like chance, and are the same in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: i64) -> i64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        i64::try_from(drawn).unwrap() % n
    }

    fn of<'t>(&mut self, all: &[&'t str]) -> &'t str {
        all[usize::try_from(self.below(i64::try_from(all.len()).unwrap())).unwrap()]
    }
}

/// A record as it is written, and as it counts.
#[derive(Clone, Debug)]
struct Row {
    at_us: i64,
    /// direction, did, queue, endpoint, agent
    parts: [String; 5],
    counted: Counted,
}

fn row(chance: &mut Chance, (from_us, to_us): (i64, i64), agents: &[&str]) -> Row {
    let disposition = chance.of(Disposition::WORDS);
    let (billed_s, talk_s) = (chance.below(500), chance.below(400));
    Row {
        at_us: from_us + chance.below((to_us - from_us) / 1_000) * 1_000 + chance.below(1_000),
        parts: [
            chance.of(&["inbound", "internal", "outbound"]),
            chance.of(&["+15550001000", "+15550001001"]),
            chance.of(&["", "support", "sales"]),
            chance.of(&["", "101", "102"]),
            chance.of(agents),
        ]
        .map(str::to_owned),
        counted: Counted {
            disposition: Disposition::parse(disposition).unwrap(),
            has_peer: chance.below(3) > 0,
            transferred: chance.below(4) == 0,
            duration_s: billed_s + chance.below(30),
            billed_s,
            talk_s: (talk_s > 40).then_some(talk_s),
        },
    }
}

async fn insert(app: &TestApp, tenant: &str, rows: &[Row]) {
    for some in rows.chunks(200) {
        let values: Vec<String> = some.iter().map(|row| values(app, tenant, row)).collect();
        let sql = format!(
            "INSERT INTO cdrs (id, tenant_id, call_id, linkedid, uniqueid, direction, did, caller_number, dst_channel, queue, \
             endpoint, agent_id, started_at, ended_at, duration_s, billed_s, talk_s, transferred, disposition, metadata, \
             created_at) VALUES {}",
            values.join(", ")
        );
        app.test.execute(&sql).await.unwrap();
    }
}

fn values(app: &TestApp, tenant: &str, row: &Row) -> String {
    let (id, Counted { disposition, has_peer, transferred, duration_s, billed_s, talk_s }) =
        (app.gate.ids.next(), row.counted);
    let [direction, did, queue, endpoint, agent] = &row.parts;
    let agent = if agent.is_empty() { "NULL".to_owned() } else { format!("'{agent}'") };
    let talk = talk_s.map_or("NULL".to_owned(), |s| s.to_string());
    format!(
        "('{id}', '{tenant}', '{id}', 'l', 'u', '{direction}', '{did}', '+15557770001', '{}', '{queue}', '{endpoint}', \
         {agent}, {at}, {at}, {duration_s}, {billed_s}, {talk}, {}, '{disposition}', '{{}}', 1)",
        if has_peer { "PJSIP/x-1" } else { "" },
        u8::from(transferred),
        at = row.at_us,
    )
}

/// A line as the API shows it.
fn shown(sums: &Sums) -> Value {
    json!({
        "calls": sums.calls, "answered": sums.answered, "unattended": sums.unattended, "no_answer": sums.no_answer,
        "busy": sums.busy, "failed": sums.failed, "transferred": sums.transferred, "duration_total_s": sums.duration_s,
        "billed_total_s": sums.billed_s, "talk_total_s": sums.talk_s, "asr_percent": sums.asr(), "acd_s": sums.acd_s(),
        "minutes": sums.minutes(),
    })
}

const PARTS: [&str; 5] = ["direction", "did", "queue", "endpoint", "agent"];

fn time(us: i64) -> String {
    hookswitch::api::check::show_time(us)
}

/// What the report must be: every row looked at.
fn fold(rows: &[Row], zone: Tz, interval: Interval, group: Option<usize>) -> Vec<Value> {
    let mut lines: BTreeMap<(i64, i64, String), Sums> = BTreeMap::new();
    for row in rows {
        let (from, to) = interval.around(row.at_us, zone);
        let part = group.map_or(String::new(), |group| row.parts[group].clone());
        lines.entry((from, to, part)).or_default().add(&row.counted);
    }
    let line = |((from, to, part), sums): (&(i64, i64, String), &Sums)| {
        let mut line = shown(sums);
        line["from"] = json!(time(*from));
        line["to"] = json!(time(*to));
        line["part"] = json!(Some(part).filter(|part| !part.is_empty()));
        line
    };
    lines.iter().map(line).collect()
}

/// One question with its answer by hand.
async fn ask(desk: &Desk, chance: &mut Chance, rows: &[Row], zone: Tz, (from_us, to_us): (i64, i64)) {
    let interval = Interval::parse(chance.of(Interval::WORDS)).unwrap();
    let span = to_us - from_us;
    let (a, b) =
        (from_us + chance.below(span / 1_000) * 1_000, from_us + chance.below(span / 1_000) * 1_000 + 1);
    let (a, b) = (a.min(b), a.max(b) + 1);
    let group = usize::try_from(chance.below(6)).unwrap();
    let mut query = format!("from={}&to={}&interval={interval}", time(a), time(b));
    if let Some(name) = PARTS.get(group) {
        query += &format!("&group={name}");
    }
    let mut wanted: Vec<Row> = rows.iter().filter(|row| (a..b).contains(&row.at_us)).cloned().collect();
    for (n, name) in PARTS.iter().enumerate() {
        let value = rows[usize::try_from(chance.below(20)).unwrap()].parts[n].clone();
        if chance.below(4) == 0 && !value.is_empty() {
            query += &format!("&{name}={}", value.replace('+', "%2B"));
            wanted.retain(|row| row.parts[n] == value);
        }
    }
    let answer = desk.app.get(&format!("/cdrs/stats?{query}"), &desk.viewer).await.expect(200).body;
    assert_eq!(answer["zone"], zone.name());
    let expected = fold(&wanted, zone, interval, PARTS.get(group).map(|_| group));
    assert_eq!(answer["lines"], json!(expected), "{query}");
    let mut total = Sums::default();
    wanted.iter().for_each(|row| total.add(&row.counted));
    assert_eq!(answer["total"], shown(&total), "{query}");
}

fn exporter(app: &TestApp) -> Exporter {
    Exporter {
        db: app.test.db.clone(),
        clock: app.clock.clone(),
        ids: app.gate.ids.clone(),
        events: Arc::clone(&app.gate.events),
        data_dir: app.test.folder().to_owned(),
    }
}

async fn work(app: &TestApp) {
    let (_stopper, stopping) = shutdown::channel();
    exporter(app).work(&stopping).await.unwrap();
}

/// So many records, a second apart, the oldest first.
async fn records(app: &TestApp, tenant: &str, count: usize) {
    let mut chance = Chance(7);
    let start_us = app.clock.now_us() - DAY_US;
    let mut one = |n: usize| Row {
        at_us: start_us + i64::try_from(n).unwrap() * 1_000_000,
        ..row(&mut chance, (0, DAY_US), &[""])
    };
    let rows: Vec<Row> = (0..count).map(&mut one).collect();
    insert(app, tenant, &rows).await;
}

async fn export(desk: &Desk, body: Value) -> Answer {
    desk.app.post("/cdrs/exports", &desk.supervisor, body).await
}

fn lines(answer: &Answer) -> Vec<Vec<String>> {
    let Value::String(text) = &answer.body else { panic!("{:?}", answer.body) };
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|line| line.unwrap().iter().map(str::to_owned).collect()).collect()
}

/// A leg as Asterisk writes it, so many seconds after a second.
async fn leg(
    app: &TestApp,
    call: &str,
    sequence: i64,
    (start, answer, end): (i64, Option<i64>, i64),
    what: [&str; 3],
) {
    let at = |s: i64| from_us(1_790_000_000_000_000 + s * 1_000_000).format("%Y-%m-%d %H:%M:%S").to_string();
    let answer = answer.map_or("NULL".to_owned(), |s| format!("'{}'", at(s)));
    let [disposition, peer, more] = what;
    let (cause, talk) = if more.is_empty() {
        ("NULL".to_owned(), "NULL".to_owned())
    } else {
        ("16".to_owned(), format!("'{more}'"))
    };
    let sql = format!(
        "INSERT INTO cdr (accountcode, tenant_id, call_id, channel, dstchannel, lastapp, start, answer, end, duration, billsec, \
         disposition, uniqueid, linkedid, sequence, cause, talk) VALUES ('acme', 'acme', '{call}', 'PJSIP/carrier-1', \
         '{peer}', 'Dial', '{}', {answer}, '{}', 1, 1, '{disposition}', '{call}', '{call}', {sequence}, {cause}, {talk})",
        at(start),
        at(end)
    );
    app.test.execute(&sql).await.unwrap();
}

both_databases! {
    /// Whatever is asked, the report is what a fold over the rows would be, over the days on which clocks are set too.
    async fn statistics_are_a_fold_of_the_rows(test) {
        let desk = Desk::new(test).await;
        let agents = [desk.app.user(Role::Agent, "acme").await, desk.app.user(Role::Agent, "acme").await];
        let ids: Vec<&str> = std::iter::once("").chain(agents.iter().map(|agent| agent.id.as_str())).collect();
        let us = |text: &str| chrono::DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
        let mut chance = Chance(0x5eed);
        // Berlin goes on by an hour in this time, Lord Howe back by half an hour; Kathmandu is 5:45 ahead.
        let span = (us("2026-03-26T00:00:00Z"), us("2026-04-08T00:00:00Z"));
        let rows: Vec<Row> = (0..400).map(|_| row(&mut chance, span, &ids)).collect();
        insert(&desk.app, "acme", &rows).await;
        let others: Vec<Row> = (0..20).map(|_| row(&mut chance, span, &[""])).collect();
        insert(&desk.app, "globex", &others).await;
        for zone in [chrono_tz::Europe::Berlin, chrono_tz::Australia::Lord_Howe, chrono_tz::Asia::Kathmandu, Tz::UTC] {
            desk.app.test.execute(&format!("UPDATE tenants SET zone = '{}' WHERE id = 'acme'", zone.name())).await.unwrap();
            for _ in 0..25 {
                ask(&desk, &mut chance, &rows, zone, span).await;
            }
        }
        // An agent sees the own ones, whatever is asked for.
        let whole = format!("/cdrs/stats?from={}&to={}", time(span.0), time(span.1));
        let Person { id, token, .. } = &agents[0];
        let own = rows.iter().filter(|row| row.parts[4] == id.as_str()).count();
        assert_eq!(desk.app.get(&whole, token).await.expect(200).body["total"]["calls"], own);
        let others = desk.app.get(&format!("{whole}&agent={}", agents[1].id), token).await.expect(200);
        assert_eq!(others.body["total"]["calls"], 0);
        assert_eq!(desk.app.get(&whole, &desk.other).await.expect(200).body["total"]["calls"], 20);
    }

    async fn statistics_refuse_what_they_can_not_answer(test) {
        let desk = Desk::new(test).await;
        for (query, parameter) in [
            ("", "from"),
            ("from=2026-03-02T00:00:00Z&to=2026-03-01T00:00:00Z", "to"),
            ("from=2025-01-01T00:00:00Z&to=2026-03-01T00:00:00Z&interval=15m", "interval"),
            ("from=2026-03-01T00:00:00Z&group=colour", "group"),
            ("from=2026-03-01T00:00:00Z&colour=red", "colour"),
            ("from=2026-03-01T00:00:00Z&agent=nobody", "agent"),
        ] {
            let answer = desk.app.get(&format!("/cdrs/stats?{query}"), &desk.viewer).await.expect(400);
            assert_eq!(answer.pointers(), [parameter], "{query}");
        }
    }

    /// A file has the records that were there, in pages, and nobody else's; it is told, put on record, and goes after a day.
    async fn records_become_a_file(test) {
        let desk = Desk::new(test).await;
        let app = &desk.app;
        let count = limits::EXPORT_PAGE + 5;
        records(app, "acme", count).await;
        records(app, "globex", 3).await;
        app.test.execute("UPDATE cdrs SET caller_name = '=HYPERLINK(\"x\")', did = 'a,\"b\"' WHERE tenant_id = 'acme'").await.unwrap();
        for token in [&desk.agent, &desk.viewer] {
            app.post("/cdrs/exports", token, json!({})).await.expect(403);
        }
        for (body, pointer) in [
            (json!({"filters": {"colour": "red"}}), "/filters/colour"),
            (json!({"filters": {"queue": 7}}), "/filters/queue"),
            (json!({"columns": ["colour"]}), "/columns/0"),
        ] {
            assert_eq!(export(&desk, body).await.expect(422).pointers(), [pointer]);
        }
        let columns = ["started_at", "caller_name", "caller_number", "did", "transferred"];
        let made = export(&desk, json!({"columns": columns})).await.expect(202);
        assert_eq!((&made.body["status"], &made.body["total"]), (&json!("queued"), &json!(count)));
        // What comes later does not belong to it.
        records(app, "acme", 1).await;
        app.test.execute(&format!("UPDATE cdrs SET created_at = {} WHERE did <> 'a,\"b\"'", app.clock.now_us())).await.unwrap();
        let path = format!("/cdrs/exports/{}", made.id());
        assert_eq!(app.get(&format!("{path}/content"), &desk.supervisor).await.expect(409).code(), "not-ready");
        work(app).await;
        let done = app.get(&path, &desk.supervisor).await.expect(200).body;
        assert_eq!((&done["status"], &done["done"]), (&json!("completed"), &json!(count)));
        let content = app.get(&format!("{path}/content"), &desk.supervisor).await.expect(200);
        assert_eq!(content.header("content-length"), done["bytes"].to_string());
        assert_eq!(content.header("content-disposition"), format!("attachment; filename=\"cdrs-{}.csv\"", made.id()));
        let lines = lines(&content);
        assert_eq!((lines.len(), lines[0].clone()), (count + 1, columns.map(str::to_owned).to_vec()));
        assert_eq!(lines[1][1..4], ["'=HYPERLINK(\"x\")", "'+15557770001", "a,\"b\""]);
        assert!(lines[1..].is_sorted_by(|a, b| a[0].len() != b[0].len() || a[0] < b[0]));
        for (token, status) in [(&desk.other, 404), (&desk.agent, 403), (&desk.viewer, 403)] {
            app.get(&path, token).await.expect(status);
            app.get(&format!("{path}/content"), token).await.expect(status);
            app.ask("DELETE", &path, token, None, &[]).await.expect(status);
        }
        let told = app.get("/events?types=export.*", &desk.supervisor).await.expect(200).body;
        let told: Vec<&Value> = told["data"].as_array().unwrap().iter().map(|event| &event["type"]).collect();
        assert_eq!(told, ["export.created", "export.completed"]);
        for action in ["cdr-exports.create", "cdr-exports.content"] {
            let sql = format!("SELECT COUNT(*) FROM audit_logs WHERE action = '{action}' AND tenant_id = 'acme'");
            assert_eq!(app.test.number(&sql).await, 1, "{action}");
        }
        app.wait(Duration::from_secs(24 * 3_600 + 1));
        work(app).await;
        let supervisor = app.token(Role::Supervisor, "acme").await;
        app.get(&path, &supervisor).await.expect(404);
        assert_eq!(std::fs::read_dir(app.test.folder().join("exports")).unwrap().count(), 0);
    }

    /// Filters are those of the list; two files at a time; one that is given up leaves nothing.
    async fn files_have_limits(test) {
        let desk = Desk::new(test).await;
        let app = &desk.app;
        records(app, "acme", 40).await;
        let busy = app.get("/cdrs?disposition=BUSY&limit=200", &desk.supervisor).await.expect(200).body["data"].as_array().unwrap().len();
        let filters = json!({"disposition": "BUSY", "started_at_from": "2020-01-01T00:00:00Z"});
        let one = export(&desk, json!({"filters": filters, "columns": ["id", "disposition"]})).await.expect(202);
        assert_eq!(one.body["total"], busy);
        let two = export(&desk, json!({})).await.expect(202);
        assert_eq!(export(&desk, json!({})).await.expect(409).code(), "too-many");
        app.post("/cdrs/exports", &desk.other, json!({})).await.expect(202);
        app.ask("DELETE", &format!("/cdrs/exports/{}", two.id()), &desk.supervisor, None, &[]).await.expect(204);
        work(app).await;
        let content = app.get(&format!("/cdrs/exports/{}/content", one.id()), &desk.supervisor).await.expect(200);
        let found = lines(&content);
        assert_eq!(found.len(), busy + 1);
        assert!(busy > 0 && found[1..].iter().all(|line| line[1] == "BUSY"));
        app.get(&format!("/cdrs/exports/{}", two.id()), &desk.supervisor).await.expect(404);
        app.wait(Duration::from_secs(120));
        work(app).await;
        let left = std::fs::read_dir(app.test.folder().join("exports")).unwrap().count();
        assert_eq!(left, 2, "the file that was given up is gone");
        for n in 2..limits::EXPORTS_KEPT {
            export(&desk, json!({"columns": ["id"]})).await.expect(202);
            work(app).await;
            assert!(n < 100);
        }
    }

    /// Killed at any point, with whatever lies behind what is known of its file: it goes on, and no record is there twice.
    async fn a_killed_export_goes_on(test) {
        let desk = Desk::new(test).await;
        let app = &desk.app;
        let count = limits::EXPORT_PAGE * 2 + 10;
        records(app, "acme", count).await;
        let id = export(&desk, json!({"columns": ["id"]})).await.expect(202).id();
        let (_keep, stopping) = shutdown::channel();
        let first = tokio::spawn({
            let exporter = exporter(app);
            async move { exporter.work(&stopping).await }
        });
        eventually("the first page is written", || async {
            (app.test.number("SELECT done FROM cdr_exports").await > 0).then_some(())
        })
        .await;
        first.abort();
        let _ = first.await;
        let file = app.test.folder().join("exports").join(format!("acme.{id}.csv"));
        let mut torn = std::fs::read(&file).unwrap();
        torn.extend(b"01torn");
        std::fs::write(&file, torn).unwrap();
        let is_open = app.test.number("SELECT COUNT(*) FROM cdr_exports WHERE finished_at IS NULL").await;
        work(app).await;
        let done = app.get(&format!("/cdrs/exports/{id}"), &desk.supervisor).await.expect(200).body;
        assert_eq!((&done["status"], &done["done"]), (&json!("completed"), &json!(count)), "{is_open}");
        let content = app.get(&format!("/cdrs/exports/{id}/content"), &desk.supervisor).await.expect(200);
        let ids: std::collections::BTreeSet<String> = lines(&content)[1..].iter().map(|line| line[0].clone()).collect();
        assert_eq!((lines(&content).len(), ids.len()), (count + 1, count));
    }

    /// A call whose end nobody told gets it from Asterisk's own records, once; a report says more, whenever it comes.
    async fn a_lost_end_is_found_in_asterisks_records(test) {
        let desk = Desk::new(test).await;
        let mut drain = Drain::new(&desk);
        let app = &desk.app;
        let ids: Vec<_> = (0..3).map(|_| app.gate.ids.next()).collect();
        for id in &ids {
            drain.apply(vec![began(id, "acme", "endpoint", "acme-101")]).await;
        }
        drain.apply(vec![ended(end(&ids[1]))]).await;
        let told = |id: &str| format!("SELECT COUNT(*) FROM events WHERE kind = 'call.ended' AND event_key = 'call:{id}'");
        leg(app, ids[0].as_str(), 0, (0, Some(5), 30), ["ANSWERED", "PJSIP/acme-101-00000001", ""]).await;
        leg(app, ids[0].as_str(), 2, (30, Some(30), 50), ["ANSWERED", "PJSIP/acme-102-00000002", "044.5"]).await;
        leg(app, ids[1].as_str(), 3, (0, None, 9), ["BUSY", "", ""]).await;
        leg(app, "", 4, (0, None, 9), ["NO ANSWER", "", ""]).await;
        let mut seen = 0;
        assert_eq!(legs_store::round(&drain.sink, &mut seen).await.unwrap(), 0, "they may not be whole yet");
        assert_eq!(legs_store::round(&drain.sink, &mut seen).await.unwrap(), 4);
        assert_eq!(legs_store::round(&drain.sink, &mut seen).await.unwrap(), 0, "each is looked at once");
        let cdr = app.get(&format!("/cdrs/{}", ids[0]), &desk.viewer).await.expect(200).body;
        let values = ["duration_s", "billed_s", "talk_s", "transferred", "disposition", "dst_channel", "cause"].map(|f| cdr[f].clone());
        assert_eq!(json!(values), json!([50, 45, 44, true, "ANSWERED", "PJSIP/acme-102-00000002", 16]));
        let call = app.get(&format!("/calls/{}", ids[0]), &desk.viewer).await.expect(200).body;
        assert_eq!((&call["ended_by"], &call["answered_at"]), (&json!("legs"), &json!(time(1_790_000_005_000_000))));
        // A report was there before, and one came after.
        let known = app.get(&format!("/cdrs/{}", ids[1]), &desk.viewer).await.expect(200).body;
        assert_eq!((&known["disposition"], &known["duration_s"]), (&json!("ANSWERED"), &json!(90)));
        drain.apply(vec![ended(end(&ids[0]))]).await;
        let call = app.get(&format!("/calls/{}", ids[0]), &desk.viewer).await.expect(200).body;
        assert_eq!((&call["ended_by"], &call["duration_ms"]), (&json!("hook"), &json!(90_999)));
        assert_eq!((app.test.number(&told(ids[0].as_str())).await, app.test.number(&told(ids[1].as_str())).await), (2, 1));
        // Who has given it up as lost finds it too.
        let now = app.clock.now_us();
        hookswitch::calls::open::close_lost(&drain.sink, i64::MAX, now, 10).await.unwrap();
        leg(app, ids[2].as_str(), 5, (0, Some(1), 7), ["ANSWERED", "PJSIP/acme-101-00000001", "6"]).await;
        legs_store::round(&drain.sink, &mut seen).await.unwrap();
        legs_store::round(&drain.sink, &mut seen).await.unwrap();
        let cdr = app.get(&format!("/cdrs/{}", ids[2]), &desk.viewer).await.expect(200).body;
        assert_eq!((&cdr["disposition"], &cdr["duration_s"]), (&json!("ANSWERED"), &json!(7)));
        // The legs themselves.
        let legs = app.get(&format!("/calls/{}/legs", ids[0]), &desk.supervisor).await.expect(200).body["data"].clone();
        let legs: Vec<Value> = legs.as_array().unwrap().iter().map(|leg| json!([leg["sequence"], leg["dst_channel"], leg["billed_s"]])).collect();
        assert_eq!(json!(legs), json!([[0, "PJSIP/acme-101-00000001", 1], [2, "PJSIP/acme-102-00000002", 1]]));
        app.get(&format!("/calls/{}/legs", ids[0]), &desk.other).await.expect(404);
        app.get(&format!("/calls/{}/legs", ids[0]), &desk.agent).await.expect(403);
        // Kept for a time, and no longer than their tenant.
        app.test.execute("UPDATE cdr SET tenant_id = 'gone' WHERE call_id = ''").await.unwrap();
        assert_eq!(legs_store::purge(&app.test.db, app.clock.now_us()).await.unwrap(), 1);
        let later = app.clock.now_us() + limits::LEGS_KEPT_US + 1;
        assert_eq!(legs_store::purge(&app.test.db, later).await.unwrap(), 4);
    }
}
