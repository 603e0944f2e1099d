//! Phones and queues that a real Asterisk has from the service: what a REGISTER costs over HTTP and over ODBC beside static
//! files, 10,000 endpoints that register at 100 a second, 300 queues with 2,000 members each, and the service's answers
//! while calls come. Needs what `scripts/lab-install` installs. All of it is on SQLite, or on the MariaDB of
//! `HOOKSWITCH_TEST_MYSQL_URL` when that is set: an empty database each time.
#![expect(clippy::expect_used, clippy::unwrap_used, reason = "a bench that cannot go on ends")]
#![expect(clippy::panic, clippy::print_stdout, clippy::print_stderr, reason = "a bench prints")]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "statistics"
)]

#[path = "support/mod.rs"]
mod bench;
#[expect(dead_code, reason = "made for the end-to-end tests")]
#[path = "../tests/support/mod.rs"]
mod support;

use std::fmt::Write as _;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::process::ExitCode;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bench::caller::Load;
use bench::rest::{ask, exchange, login_as};
use bench::service::Service;
use bench::{Report, argument, cpu_seconds, median, now, percentile};
use hookswitch::db::{Db, db_read, db_write};
use serde_json::{Value, json};
use support::asterisk::{Pbx, PbxOptions};
use support::phone::Sipp;
use support::{ports, scenario};

/// The demo's static route to the queue support.
const STATIC: &str = "+15550001000";
const TOKEN: &str = "a-token-of-benches-0123456789";

fn main() -> ExitCode {
    let mut report = Report::new();
    let only = argument("--only", 0.0);
    let url = std::env::var("HOOKSWITCH_TEST_MYSQL_URL").unwrap_or_default();
    let service = Service::start_as(&url, &[("HOOKSWITCH_REALTIME_TOKEN", TOKEN)]);
    let root = login_as(service.http, "root@hookswitch.test");
    if only == 0.0 || only == 1.0 {
        let phones = endpoints(&service, &root, "many", argument("--endpoints", 10_000.0) as usize);
        registrations(&mut report, &service, &phones);
    }
    if only == 0.0 || only == 2.0 {
        answers(&mut report, &service, &root);
    }
    if only == 0.0 || only == 3.0 {
        queues(&mut report, &service, &root);
    }
    report.end(&format!("A real Asterisk 22 on the service's data in {}", database(&service)))
}

/// A name in Asterisk and its password.
type Login = (String, String);

/// Makes a tenant with so many endpoints.
fn endpoints(service: &Service, root: &str, tenant: &str, count: usize) -> Vec<Login> {
    let token = tenant_of(service, root, tenant);
    eprintln!("{tenant}: making {count} endpoints");
    (0..count).map(|n| endpoint(service, &token, n)).collect()
}

/// Makes one.
fn endpoint(service: &Service, token: &str, n: usize) -> Login {
    let body = json!({"name": n.to_string(), "max_registrations": 1}).to_string();
    let made = ask(service.http, "POST", "/api/v1/endpoints", token, &body);
    let text = |name: &str| made[name].as_str().expect("an endpoint").to_owned();
    (text("username"), text("password"))
}

/// Makes a tenant; a token in it.
fn tenant_of(service: &Service, root: &str, id: &str) -> String {
    let email = format!("admin@{id}.test");
    let body = json!({"id": id, "name": id, "admin_email": email, "admin_password": "hookswitch-demo-1"});
    let made = ask(service.http, "POST", "/api/v1/tenants", root, &body.to_string());
    assert!(made["id"].is_string(), "{made}");
    login_as(service.http, &email)
}

/// The same endpoints in a file, as the service tells Asterisk of them.
fn files(phones: &[Login]) -> String {
    let mut text = String::new();
    for (name, password) in phones {
        let _ = write!(
            text,
            "[{name}]\ntype=endpoint\ncontext=hookswitch-internal\ndisallow=all\nallow=opus,g722,alaw,ulaw\ndirect_media=no\n\
             force_rport=yes\nrewrite_contact=yes\nrtp_symmetric=yes\nauth={name}\naors={name}\n[{name}]\ntype=auth\n\
             auth_type=userpass\nusername={name}\npassword={password}\n[{name}]\ntype=aor\nmax_contacts=1\n\
             remove_existing=yes\nqualify_frequency=60\n"
        );
    }
    text
}

/// What registrations took: milliseconds of each that was taken, processor seconds of Asterisk and of the service.
struct Registered {
    ms: Vec<f64>,
    asterisk: f64,
    service: f64,
}

/// The database's name.
fn database(service: &Service) -> &'static str {
    if service.database_url().starts_with("mysql:") { "MariaDB" } else { "SQLite" }
}

/// Registers all, `rate` a second.
fn register(pbx: &Pbx, service: &Service, phones: &[Login], rate: u32) -> Registered {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("phones.csv");
    let lines = phones
        .iter()
        .map(|(name, password)| format!("{name};[authentication username={name} password={password}]\n"));
    std::fs::write(&file, format!("SEQUENTIAL\n{}", lines.collect::<String>())).unwrap();
    let log = |word: &str| {
        format!("  <nop><action><log message=\"[call_number] {word} [clock_tick]\"/></action></nop>\n")
    };
    let text = scenario::register("[field0]", "", 3_600)
        .replace("[authentication username=[field0] password=]", "[field1]")
        .replacen("  <send retrans", &format!("{}  <send retrans", log("sent")), 1)
        .replace("<recv response=\"200\"/>", &format!("<recv response=\"200\"/>\n{}", log("taken")));
    let target = format!("127.0.0.1:{}", pbx.sip_port());
    let (count, rate, file) = (phones.len().to_string(), rate.to_string(), file.display().to_string());
    let arguments = ["-aa", "-m", &count, "-r", &rate, "-l", "5000", "-inf", &file, &target];
    let pid = std::fs::read_to_string(pbx.path("run/asterisk.pid")).expect("Asterisk's pid file");
    let pid = pid.trim().parse().expect("a number");
    let before = (cpu_seconds(pid), cpu_seconds(service.pid()));
    let [port] = ports::free();
    let mut sipp = Sipp::start(port, &arguments.map(str::to_owned), |_| text);
    sipp.wait();
    let (asterisk, ours) = (cpu_seconds(pid) - before.0, cpu_seconds(service.pid()) - before.1);
    let mut sent = std::collections::HashMap::new();
    let mut ms = Vec::new();
    for line in sipp.log() {
        let mut words = line.split(' ');
        let (Some(call), Some(word), Some(tick)) = (words.next(), words.next(), words.next()) else {
            continue;
        };
        let Ok(tick) = tick.parse::<f64>() else { continue };
        match word {
            "sent" => drop(sent.insert(call.to_owned(), tick)),
            _ => ms.extend(sent.get(call).map(|from| tick - from)),
        }
    }
    Registered { ms, asterisk, service: ours }
}

/// The same registrations from files, over HTTP and over ODBC; then all endpoints at 100 a second.
fn registrations(report: &mut Report, service: &Service, phones: &[Login]) {
    let rounds = argument("--rounds", 3.0) as usize;
    let on = database(service);
    let few = &phones[..phones.len().min(1_000)];
    let static_files = Pbx::start(&PbxOptions::new(service.agi).pjsip(files(few)));
    let over_http = Pbx::start(&PbxOptions::new(service.agi).realtime(service.http, TOKEN));
    let over_odbc = Pbx::start(&PbxOptions::new(service.agi).odbc(&odbc(service)));
    let us = |all: &Registered| (all.asterisk + all.service) / all.ms.len() as f64 * 1e6;
    let (mut http, mut direct) = (Vec::new(), Vec::new());
    let mut waits: [Vec<f64>; 3] = Default::default();
    for n in 0..=rounds {
        let all = [&static_files, &over_http, &over_odbc].map(|pbx| register(pbx, service, few, 100));
        let costs = [us(&all[0]), us(&all[1]), us(&all[2])];
        eprintln!(
            "a REGISTER: files {:.0}, HTTP {:.0}, ODBC {:.0} µs of both processes",
            costs[0], costs[1], costs[2]
        );
        for one in &all {
            assert_eq!(one.ms.len(), few.len(), "registrations were refused");
        }
        if n > 0 {
            http.push(costs[1] / costs[0]);
            direct.push(costs[2] / costs[0]);
            all.into_iter().zip(&mut waits).for_each(|(one, waits)| waits.extend(one.ms));
        }
    }
    let shown = |all: &[f64]| {
        let mut all = all.to_vec();
        format!("{:.2} ({:.2} to {:.2})", median(&all), percentile(&mut all, 0.0), percentile(&mut all, 1.0))
    };
    let name = "a REGISTER, CPU of Asterisk and service ÷ from files";
    report.goal(&format!("{name}, over HTTP"), shown(&http), "≤ 1.5", median(&http) <= 1.5);
    report.note(&format!("{name}, over ODBC"), shown(&direct));
    for (waits, way) in waits.iter_mut().zip(["from files", "over HTTP", "over ODBC"]) {
        let (p50, p99) = (percentile(waits, 0.5), percentile(waits, 0.99));
        report.note(
            &format!("REGISTER to its 200 with both round trips, {way}, p50 and p99"),
            format!("{p50:.0} and {p99:.0} ms"),
        );
    }
    drop((static_files, over_odbc, over_http));
    forget(service);
    let over_http = Pbx::start(&PbxOptions::new(service.agi).realtime(service.http, TOKEN));
    all(report, service, &over_http, phones, &format!("over HTTP on {on}"));
    drop(over_http);
    forget(service);
    let over_odbc = Pbx::start(&PbxOptions::new(service.agi).odbc(&odbc(service)));
    all(report, service, &over_odbc, phones, &format!("over ODBC on {on}"));
}

fn all(report: &mut Report, service: &Service, pbx: &Pbx, phones: &[Login], way: &str) {
    let mut done = register(pbx, service, phones, 100);
    const KNOWN: &str = "SELECT COUNT(*) FROM endpoints WHERE tenant_id = 'many' AND registered = 1";
    let known = || number(&service.database_url(), KNOWN) as usize;
    let since = now();
    while since.elapsed().as_secs_f64() < 60.0 && known() < done.ms.len() {
        std::thread::sleep(Duration::from_millis(50));
    }
    let seconds = since.elapsed().as_secs_f64();
    // Asterisk says 200 to one that it could not write down, too.
    let lost = phones.len() - done.ms.len().min(known());
    if lost > 0 {
        let complaints = pbx.complaints();
        eprintln!("{way}: {} complaints of Asterisk, such as {:#?}", complaints.len(), complaints.last());
    }
    report.goal(
        &format!("{} endpoints register at 100/s, {way}: refused or lost", phones.len()),
        lost.to_string(),
        "0",
        lost == 0,
    );
    report
        .note(&format!("{way}: all are shown as registered, after the last 200"), format!("{seconds:.2} s"));
    let (p50, p99) = (percentile(&mut done.ms, 0.5), percentile(&mut done.ms, 0.99));
    report.note(&format!("{way}: REGISTER to its 200, p50 and p99"), format!("{p50:.0} and {p99:.0} ms"));
    let whole = phones.len() as f64;
    report.note(
        &format!("{way}: CPU of a REGISTER, Asterisk and service"),
        format!("{:.0} and {:.0} µs", done.asterisk / whole * 1e6, done.service / whole * 1e6),
    );
}

/// A question of Asterisk's on a connection that stays open.
fn question(table: &str, verb: &str, body: &str) -> String {
    let who = STANDARD.encode(format!("asterisk:{TOKEN}"));
    format!(
        "POST /asterisk/realtime/{table}/{verb} HTTP/1.1\r\nhost: localhost\r\nauthorization: Basic {who}\r\n\
         content-type: application/x-www-form-urlencoded\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// What Asterisk asks with a call and a registration, while 100 calls a second are decided.
fn answers(report: &mut Report, service: &Service, root: &str) {
    let seconds = argument("--seconds", 10.0);
    let token = tenant_of(service, root, "asked");
    let make = |path: &str, body: Value| {
        let made = ask(service.http, "POST", &format!("/api/v1{path}"), &token, &body.to_string());
        made["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    };
    let queue = make("/queues", json!({"name": "support"}));
    for n in 0..20 {
        let endpoint = make("/endpoints", json!({"name": format!("{n}")}));
        make(&format!("/queues/{queue}/members"), json!({"endpoint_id": endpoint}));
    }
    let contact = "id=asked-7%3B%40a&via_addr=127.0.0.1&endpoint=asked-7&via_port=15301&uri=sip%3Aasked-7%40127.0.0.1%3A15600&\
                   qualify_frequency=60&expiration_time=4000000000";
    let questions = [
        ("ps_endpoints", "single", "id=asked-7"),
        ("ps_aors", "single", "id=asked-7"),
        ("ps_auths", "single", "id=asked-7"),
        ("ps_contacts", "multi", "id%20LIKE=asked-7%3B%40%25"),
        ("ps_endpoint_id_ips", "multi", "id%20LIKE=%25"),
        ("queues", "single", "name=asked-support"),
        ("queue_members", "multi", "interface%20LIKE=%25&queue_name=asked-support"),
    ];
    let load = Load { pause: Duration::from_millis(80), ..Load::to(STATIC, 8) };
    let agi = service.agi;
    let calls = std::thread::spawn(move || load.run(agi, seconds + 1.0));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let mut took: Vec<Vec<f64>> = vec![Vec::new(); questions.len()];
    runtime.block_on(async {
        let mut stream = tokio::net::TcpStream::connect(service.http).await.expect("to connect");
        stream.set_nodelay(true).expect("no delay");
        let mut buffer = Vec::with_capacity(16_384);
        exchange(&mut stream, &question("ps_contacts", "store", contact), &mut buffer).await;
        let texts = questions.map(|(table, verb, body)| question(table, verb, body));
        for text in &texts {
            exchange(&mut stream, text, &mut buffer).await;
        }
        let start = now();
        while start.elapsed().as_secs_f64() < seconds {
            for (text, took) in texts.iter().zip(&mut took) {
                let began = now();
                exchange(&mut stream, text, &mut buffer).await;
                took.push(began.elapsed().as_secs_f64() * 1e6);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    let (calls, errors, whole) = calls.join().expect("calls");
    report.note(
        "answers: calls a second meanwhile, and failed",
        format!("{:.0}, {errors}", calls.len() as f64 / whole),
    );
    let mut all: Vec<f64> = took.iter().flatten().copied().collect();
    for ((table, verb, _), took) in questions.iter().zip(&mut took) {
        let (p50, p99) = (percentile(took, 0.5), percentile(took, 0.99));
        report.note(&format!("answers: {table}/{verb}, p50 and p99"), format!("{p50:.0} and {p99:.0} µs"));
    }
    let (p99, count) = (percentile(&mut all, 0.99), all.len());
    report.goal(&format!("answers: all {count}, p99"), format!("{p99:.0} µs"), "< 1,000 µs", p99 < 1_000.0);
}

/// 300 queues with 2,000 members each, which Asterisk reads one after the other, as with a call to each.
fn queues(report: &mut Report, service: &Service, root: &str) {
    let (count, members) = (argument("--queues", 300.0) as usize, argument("--members", 2_000.0) as usize);
    let token = tenant_of(service, root, "crowd");
    eprintln!("crowd: making {count} queues and {members} endpoints");
    for n in 0..count {
        ask(service.http, "POST", "/api/v1/queues", &token, &json!({"name": format!("q{n}")}).to_string());
    }
    let phones: Vec<Login> = (0..members).map(|n| endpoint(service, &token, n)).collect();
    // 600,000 rows over REST would take longer than what is measured.
    let rows = rows_of_members(&service.database_url());
    assert_eq!(rows, count * members, "members");
    let touch = json!({"display_name": "touched"}).to_string();
    let queue = ask(service.http, "GET", "/api/v1/queues?limit=1", &token, "");
    let id = queue["data"][0]["id"].as_str().expect("a queue");
    ask(service.http, "PATCH", &format!("/api/v1/queues/{id}"), &token, &touch);
    let files = queues_of_files(service, &phones, count);
    report.note(
        &format!("{count} queues with {members} members each, from files: until all are loaded"),
        format!("{files:.1} s"),
    );
    // Over HTTP each of a queue's members costs a question or two when it is read first: a few queues tell how long all take.
    let few = count.min(argument("--http-queues", 5.0) as usize);
    for (way, count, options) in [
        ("over HTTP", few, PbxOptions::new(service.agi).realtime(service.http, TOKEN)),
        ("over ODBC", count, PbxOptions::new(service.agi).odbc(&odbc(service))),
    ] {
        let pbx = Pbx::start(&options);
        let first = show_queues(report, &pbx, way, "the first time", (count, members));
        if way == "over ODBC" {
            report.note(
                "all queues read the first time, over ODBC ÷ from files",
                format!("{:.2}", first / files),
            );
        }
        show_queues(report, &pbx, way, "again", (count, members));
    }
}

/// Seconds until an Asterisk has loaded so many queues from files, with all phones in each.
fn queues_of_files(service: &Service, phones: &[Login], count: usize) -> f64 {
    let pbx = Pbx::start(&PbxOptions::new(service.agi).pjsip(files(phones)));
    let members: String = phones.iter().map(|(name, _)| format!("member => PJSIP/{name}\n")).collect();
    std::fs::write(pbx.path("etc/crowd-members.conf"), members).expect("a file");
    let queue = |n| format!("[crowd-q{n}]\nstrategy = ringall\n#include crowd-members.conf\n");
    std::fs::write(pbx.path("etc/queues-extra.conf"), (0..count).map(queue).collect::<String>())
        .expect("a file");
    let start = now();
    pbx.cli("queue reload all");
    let last = format!("queue show crowd-q{}", count - 1);
    while pbx.cli(&last).matches("PJSIP/").count() < phones.len() {
        std::thread::sleep(Duration::from_millis(100));
    }
    start.elapsed().as_secs_f64()
}

/// Shows one queue after the other. Returns the seconds of all.
fn show_queues(
    report: &mut Report,
    pbx: &Pbx,
    way: &str,
    turn: &str,
    (count, members): (usize, usize),
) -> f64 {
    let (mut took, mut seen) = (Vec::new(), 0);
    for n in 0..count {
        let start = now();
        seen += pbx.cli(&format!("queue show crowd-q{n}")).matches("PJSIP/crowd-").count();
        took.push(start.elapsed().as_secs_f64() * 1e3);
        if (n + 1) % 10 == 0 {
            let seconds = took.iter().sum::<f64>() / 1e3;
            eprintln!("{way}, {turn}: {} of {count} queues in {seconds:.1} s", n + 1);
        }
    }
    let (rows, seconds) = (count * members, took.iter().sum::<f64>() / 1e3);
    report.goal(
        &format!("{count} queues with {members} members each, {way}: members that Asterisk shows, {turn}"),
        format!("{seen} in {seconds:.0} s"),
        &rows.to_string(),
        seen == rows,
    );
    let (p50, most) = (percentile(&mut took, 0.5), percentile(&mut took, 1.0));
    report.note(&format!("{way}: a queue, {turn}, p50 and most"), format!("{p50:.0} and {most:.0} ms"));
    seconds
}

/// The service's database for Asterisk's own user, who is another one where this runs as root.
fn odbc(service: &Service) -> String {
    const GRANTS: &str = include_str!("../asterisk/realtime-odbc/mariadb-user.sql");
    const PASSWORD: &str = "a-password-of-benches";
    let url = service.database_url();
    if let Some(file) = url.strip_prefix("sqlite://") {
        let any = |path: &str, mode| std::fs::set_permissions(path, Permissions::from_mode(mode));
        any(&service.folder().display().to_string(), 0o777).expect("to give rights");
        for end in ["", "-wal", "-shm"] {
            any(&format!("{file}{end}"), 0o666).expect("to give rights");
        }
        return url;
    }
    let (server, name) = url.rsplit_once('/').expect("a database's name");
    let sql = GRANTS.replace("`hookswitch`", &format!("`{name}`")).replace("ODBC_PASSWORD", PASSWORD);
    in_database(&url, async |db| {
        let sql = sqlx::AssertSqlSafe(sql);
        db_write!(db, |p| sqlx::raw_sql(sql).execute(p).await.map(drop))
    });
    format!("mysql://asterisk:{PASSWORD}@{}/{name}", server.rsplit_once('@').expect("a user").1)
}

/// Lets no phone be registered: an Asterisk that starts asks all that are whether they live.
fn forget(service: &Service) {
    while service.metric("hookswitch_realtime_behind") > 0.0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    for sql in ["DELETE FROM ps_contacts", "UPDATE endpoints SET registered = 0, registered_until = NULL"] {
        execute(&service.database_url(), sql);
    }
}

/// Makes every endpoint of the crowd a member of each of its queues. Returns how many members there are.
fn rows_of_members(url: &str) -> usize {
    eprintln!("crowd: making every endpoint a member of every queue");
    let id = if url.starts_with("mysql:") { "RANDOM_BYTES(13)" } else { "randomblob(13)" };
    let rows = execute(
        url,
        &format!(
            "INSERT INTO queue_members (id, tenant_id, queue_id, endpoint_id, penalty, created_at, updated_at) \
             SELECT LOWER(HEX({id})), q.tenant_id, q.id, e.id, 0, 1, 1 FROM queues q JOIN endpoints e \
             ON e.tenant_id = q.tenant_id WHERE q.tenant_id = 'crowd'"
        ),
    );
    rows as usize
}

/// Runs a statement in the service's database. Returns how many rows it changed.
fn execute(url: &str, sql: &str) -> u64 {
    in_database(url, async |db| {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        db_write!(db, |p| sqlx::query(sql).execute(p).await.map(|done| done.rows_affected()))
    })
}

/// The number that a statement finds.
fn number(url: &str, sql: &str) -> i64 {
    in_database(url, async |db| {
        let sql = sqlx::AssertSqlSafe(sql.to_owned());
        db_read!(db, |p| sqlx::query_scalar(sql).fetch_one(p).await)
    })
}

/// Works on a connection of its own.
fn in_database<T>(url: &str, work: impl AsyncFnOnce(&Db) -> sqlx::Result<T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let db = Db::connect(url, 1).await.expect("the database");
        work(&db).await.expect("a statement")
    })
}
