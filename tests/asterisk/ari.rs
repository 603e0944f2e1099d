//! Watching a real Asterisk over ARI, with the sockets opened by either side, and all that may go wrong between the two.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::sleep;
use std::time::Duration;

use base64::Engine as _;
use hookswitch::ari::{AskError, Event, News, Request, WANTED};
use hookswitch::calls::table::Table;
use hookswitch::config::limits::ari as limits;

use crate::support::ari::Engine;
use crate::support::asterisk::{ARI_PASSWORD, ARI_USER, Pbx, PbxOptions, Way};
use crate::support::call::Call;
use crate::support::ports;
use crate::support::service::{Database, Service, ServiceOptions};
use crate::support::wait;

/// Extensions that enter the application; one sets what the dialplan of the service sets.
const ENTRIES: &str = "
[hookswitch-inbound]
exten => _9!,1,Set(HS_CALL_ID=call-1)
 same => n,Set(HS_TENANT=acme)
 same => n,Stasis(hookswitch,a b,c)
 same => n,NoOp(after ${STASISSTATUS})
 same => n,Hangup(17)
[elsewhere]
exten => s,1,Answer
 same => n,Wait(60)
";

fn nobody() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1))
}

fn pbx(way: Way) -> Pbx {
    Pbx::start(&PbxOptions::new(nobody()).dialplan(ENTRIES).ari(way))
}

fn free() -> SocketAddr {
    let [port] = ports::free();
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn dialled() -> (Engine, Pbx) {
    let pbx = pbx(Way::Dialled);
    (Engine::dialling(pbx.ari_address()), pbx)
}

fn connects() -> (Engine, Pbx) {
    let at = free();
    let engine = Engine::waiting(at);
    (engine, pbx(Way::Connects(at)))
}

/// A channel of Asterisk's own, without a phone.
fn local(id: &str) -> Request {
    Request::post("channels")
        .with("endpoint", "Local/s@elsewhere")
        .with("app", "hookswitch")
        .with("channelId", id)
}

fn whole_call(engine: &Engine, pbx: &Pbx) {
    let (first, gap) = engine.connected(1);
    assert_eq!((first.channels.len(), gap), (0, None));
    let calling = Call::to("9").name("Alice O'Neil").stay(1_500).start(pbx);
    let (start, id) = engine.started();
    let Event::StasisStart { args, channel, .. } = &start.event else { panic!("{start:?}") };
    assert_eq!(args, &["a b", "c"]);
    assert_eq!(
        (channel.caller.name.as_str(), channel.dialplan.app_name.as_str()),
        ("Alice O'Neil", "Stasis")
    );
    // Functions work in `channelvars`.
    let vars = |name: &str| channel.channelvars[name].as_str();
    assert_eq!(
        (vars("HS_CALL_ID"), vars("HS_TENANT"), vars("CHANNEL(linkedid)")),
        ("call-1", "acme", id.as_str())
    );
    assert!(start.at_us >= first.at_us && start.at_us >= channel.creationtime, "{start:?}");
    assert_eq!((start.application.as_str(), start.asterisk_id.is_empty()), ("hookswitch", false));
    engine.ask(Request::post("channels").part(&id).part("answer"));
    engine.ask(Request::post("bridges").part("br 1/ü").with("type", "mixing"));
    engine.ask(Request::post("bridges").part("br 1/ü").part("addChannel").with("channel", &id));
    let bridge = engine.ask(Request::get("bridges").part("br 1/ü"));
    assert_eq!(bridge["channels"][0], id.as_str());
    calling.finish();
    engine.event("the end", |told| matches!(told.event, Event::ChannelDestroyed { .. }).then_some(()));
    engine.ask(Request::delete("bridges").part("br 1/ü"));
    engine
        .event("the bridge's end", |told| matches!(told.event, Event::BridgeDestroyed { .. }).then_some(()));
    let told = engine.told();
    let mut wanted = [
        "ChannelCreated",
        "StasisStart",
        "ChannelStateChange",
        "ChannelEnteredBridge",
        "ChannelLeftBridge",
        "StasisEnd",
        "ChannelDestroyed",
        "BridgeDestroyed",
    ]
    .iter()
    .peekable();
    told.iter().for_each(|one| {
        wanted.next_if(|kind| **kind == one.event.kind());
    });
    let kinds: Vec<&str> = told.iter().map(|one| one.event.kind()).collect();
    assert_eq!(wanted.next(), None, "{kinds:?}");
    assert!(kinds.iter().all(|kind| WANTED.contains(kind)), "{kinds:?}");
    let gone = engine.try_ask(Request::post("channels").part(&id).part("answer")).unwrap();
    assert!(gone.is_gone(), "{gone:?}");
    let application = engine.ask(Request::get("applications").part("hookswitch"));
    assert_eq!(application["events_allowed"].as_array().unwrap().len(), WANTED.len() + 1, "{application}");
    assert_eq!(engine.counts(), (1, 0));
    assert_eq!(pbx.complaints(), Vec::<String>::new());
}

#[test]
fn a_call_is_told_in_its_order_when_the_service_dials() {
    let (engine, pbx) = dialled();
    whole_call(&engine, &pbx);
    engine.stop();
}

#[test]
fn a_call_is_told_in_its_order_when_asterisk_connects() {
    let (engine, pbx) = connects();
    whole_call(&engine, &pbx);
    engine.stop();
}

/// The snapshot has what was there before, and says which channels are the application's.
#[test]
fn what_was_there_before_is_in_the_snapshot() {
    let (before, pbx) = dialled();
    before.connected(1);
    before.ask(local("ours;1"));
    before.started();
    before.stop();
    let engine = Engine::dialling(pbx.ari_address());
    let (snapshot, gap) = engine.connected(1);
    assert_eq!(gap, None);
    assert_eq!(snapshot.channels.len(), 2, "{snapshot:?}");
    assert_eq!(snapshot.channel_ids, ["ours;1".to_owned()].into());
    engine.ask(Request::delete("channels").part("ours;1"));
    engine.event("its end", |told| match &told.event {
        Event::StasisEnd { channel } => (channel.id == "ours;1").then_some(()),
        _ => None,
    });
}

/// A caller who came while the service was away waits, and is told late, as such.
#[test]
fn what_waited_in_asterisk_is_older_than_the_snapshot() {
    let at = free();
    let before = Engine::waiting(at);
    let pbx = pbx(Way::Connects(at));
    before.connected(1);
    before.stop();
    let calling = Call::to("9").patience(20_000).stay(500).start(&pbx);
    wait::until("the caller to be inside", || pbx.log().contains("Stasis(\"PJSIP").then_some(()));
    sleep(Duration::from_secs(1));
    let engine = Engine::waiting(at);
    let (snapshot, _) = engine.connected(1);
    let (start, id) = engine.started();
    assert!(start.at_us < snapshot.at_us, "{start:?} {}", snapshot.at_us);
    assert!(snapshot.channel_ids.contains(&id), "{snapshot:?}");
    let news = engine.news();
    assert!(matches!(news[0], News::Connected { .. }), "{news:?}");
    engine.ask(Request::post("channels").part(&id).part("answer"));
    calling.finish();
    engine.event("the end", |told| matches!(told.event, Event::ChannelDestroyed { .. }).then_some(()));
}

fn killed(engine: &Engine, mut pbx: Pbx) {
    engine.connected(1);
    engine.ask(local("gone"));
    pbx.kill();
    engine.lost(1);
    assert_eq!(engine.try_ask(Request::get("channels")), Err(AskError::NotConnected));
    pbx.start_again();
    let (snapshot, gap) = engine.connected(2);
    assert!(snapshot.channels.is_empty() && snapshot.channel_ids.is_empty(), "{snapshot:?}");
    let (from, to) = gap.unwrap();
    assert!(from < to && to - from < 60_000_000, "{gap:?}");
    engine.ask(local("again"));
    engine.event("a new channel", |told| match &told.event {
        Event::StasisStart { channel, .. } => (channel.id == "again").then_some(()),
        _ => None,
    });
    assert_eq!(engine.counts(), (2, 1));
}

#[test]
fn asterisk_is_killed_and_dialled_again() {
    let (engine, pbx) = dialled();
    killed(&engine, pbx);
}

#[test]
fn asterisk_is_killed_and_connects_again() {
    let (engine, pbx) = connects();
    killed(&engine, pbx);
}

fn frozen(engine: &Engine, pbx: &Pbx) {
    engine.connected(1);
    let since = wait::now();
    pbx.freeze();
    assert_eq!(engine.try_ask(Request::get("channels")), Err(AskError::Slow));
    engine.lost(1);
    let silent = since.elapsed();
    assert!(silent < limits::PING_TIME * (limits::SILENT_PINGS + 2), "{silent:?}");
    pbx.thaw();
    let (_, gap) = engine.connected(2);
    let (from, to) = gap.unwrap();
    assert!(to - from >= 5_000_000, "{gap:?}");
    engine.ask(Request::get("channels"));
}

#[test]
fn a_frozen_asterisk_is_given_up_and_dialled_again() {
    let (engine, pbx) = dialled();
    frozen(&engine, &pbx);
}

#[test]
fn a_frozen_asterisk_is_given_up_and_connects_again() {
    let (engine, pbx) = connects();
    frozen(&engine, &pbx);
}

/// The service dies while Asterisk stands still: what it had asked must not keep Asterisk from connecting again.
#[test]
fn a_frozen_asterisk_finds_the_next_service() {
    let at = free();
    let before = Engine::waiting(at);
    let pbx = pbx(Way::Connects(at));
    before.connected(1);
    pbx.freeze();
    assert_eq!(before.try_ask(Request::get("channels")), Err(AskError::Slow));
    assert_eq!(before.try_ask(Request::get("bridges")), Err(AskError::Slow));
    drop(before);
    let engine = Engine::waiting(at);
    pbx.thaw();
    engine.connected(1);
    engine.ask(local("after"));
    engine.started();
}

/// TCP in between, that can swallow what goes through it, both ways, without a word.
struct Relay {
    address: SocketAddr,
    open: Arc<Mutex<Vec<TcpStream>>>,
    swallows: Arc<AtomicBool>,
    came: Arc<AtomicUsize>,
}

impl Relay {
    fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (swallows, came) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (swallowing, coming) = (Arc::clone(&swallows), Arc::clone(&came));
        let open = Arc::new(Mutex::new(Vec::new()));
        let opened = Arc::clone(&open);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(target)) else { continue };
                coming.fetch_add(1, Ordering::SeqCst);
                opened.lock().unwrap().extend([client.try_clone().unwrap(), server.try_clone().unwrap()]);
                // A connection that was there when it began to swallow stays dead.
                let dead = Arc::new(AtomicBool::new(false));
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (from, to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
                    let (swallowing, dead) = (Arc::clone(&swallowing), Arc::clone(&dead));
                    std::thread::spawn(move || pass(from, to, &swallowing, &dead));
                }
            }
        });
        Self { address, open, swallows, came }
    }

    /// Ends every connection.
    fn cut(&self) {
        for one in self.open.lock().unwrap().drain(..) {
            let _ = one.shutdown(std::net::Shutdown::Both);
        }
    }
}

fn pass(mut from: TcpStream, mut to: TcpStream, swallows: &AtomicBool, dead: &AtomicBool) {
    let mut bytes = [0; 4096];
    while let Ok(n @ 1..) = from.read(&mut bytes) {
        dead.fetch_or(swallows.load(Ordering::SeqCst), Ordering::SeqCst);
        if !dead.load(Ordering::SeqCst) && to.write_all(&bytes[..n]).is_err() {
            break;
        }
    }
    if !dead.load(Ordering::SeqCst) {
        let _ = to.shutdown(std::net::Shutdown::Both);
    }
}

/// Asterisk still holds the old connection; the new one takes the application from it, and keeps it.
#[test]
fn a_half_open_connection_is_given_up() {
    let pbx = pbx(Way::Dialled);
    let relay = Relay::to(pbx.ari_address());
    let engine = Engine::dialling(relay.address);
    engine.connected(1);
    relay.swallows.store(true, Ordering::SeqCst);
    engine.lost(1);
    relay.swallows.store(false, Ordering::SeqCst);
    engine.connected(2);
    engine.ask(local("after"));
    engine.started();
    sleep(limits::PING_TIME * 2);
    assert_eq!((engine.counts(), engine.asterisk().is_connected()), ((2, 1), true));
}

/// Another program takes the application: the first one says so and leaves it alone.
#[test]
fn two_that_share_a_name_do_not_fight() {
    let (first, pbx) = dialled();
    first.connected(1);
    let second = Engine::dialling(pbx.ari_address());
    second.connected(1);
    first.lost(1);
    second.ask(local("theirs"));
    second.started();
    sleep(Duration::from_secs(3));
    assert_eq!((first.counts(), second.counts()), ((1, 1), (1, 0)));
    assert!(!first.asterisk().is_connected() && second.asterisk().is_connected());
}

/// Two Asterisks with one group's credentials take turns, slowly.
#[test]
fn two_asterisks_of_one_group_take_turns() {
    let (engine, _first) = connects_at();
    let (engine, at) = engine;
    engine.connected(1);
    let _second = pbx(Way::Connects(at));
    engine.connected(3);
    let before = engine.counts();
    sleep(3 * limits::TAKE_OVER_PAUSE);
    let (connected, lost) = engine.counts();
    // Looked at in the middle of a turn, or behind it.
    assert!(connected == lost || connected == lost + 1, "{:?}", engine.news());
    assert!(connected - before.0 <= 4, "{before:?} {connected}");
}

fn connects_at() -> ((Engine, SocketAddr), Pbx) {
    let at = free();
    let engine = Engine::waiting(at);
    ((engine, at), pbx(Way::Connects(at)))
}

/// A call with a connection of its own goes on when that breaks.
#[test]
fn each_call_may_have_its_connection() {
    let at = free();
    let engine = Engine::waiting(at);
    let relay = Relay::to(at);
    let pbx = pbx(Way::ConnectsForCalls(relay.address));
    assert!(!engine.asterisk().is_connected());
    let calling = Call::to("9").patience(20_000).stay(6_000).start(&pbx);
    let (start, id) = engine.started();
    assert!(start.application.starts_with("hookswitch:PJSIP/carrier-"), "{start:?}");
    engine.ask(Request::post("channels").part(&id).part("answer"));
    assert_eq!(relay.came.load(Ordering::SeqCst), 1);
    relay.cut();
    wait::until("another connection", || (relay.came.load(Ordering::SeqCst) == 2).then_some(()));
    wait::until("it to be known", || engine.asterisk().is_connected().then_some(()));
    engine.ask(Request::post("channels").part(&id).part("variable").with("variable", "A").with("value", 1));
    calling.finish();
    engine.event("the end", |told| match &told.event {
        Event::StasisEnd { channel } => (channel.id == id).then_some(()),
        _ => None,
    });
    assert!(engine.told().iter().all(|told| told.application == start.application), "{:?}", engine.told());
    wait::until("the connection to go with the call", || (!engine.asterisk().is_connected()).then_some(()));
    assert_eq!(engine.counts(), (0, 0));
    nothing_is_left(&engine);
}

/// Neither of a call whose end is told, nor of one whose Asterisk dies.
fn nothing_is_left(engine: &Engine) {
    let mut table = Table::default();
    let (mut most, mut left) = (0, 0);
    wait::until("the table to be empty", || {
        table = Table::default();
        (most, left) = (0, 0);
        for news in engine.news() {
            match news {
                News::Told(told) => drop(table.take("pbx", &told)),
                News::CallLeft(application) => {
                    left += 1;
                    table.left(&application, 0);
                }
                News::Connected { .. } | News::Lost => panic!("{news:?}"),
            }
            most = most.max(table.len());
        }
        (left > 0 && table.is_empty()).then_some(())
    });
    assert_eq!((most, left), (1, 1));
}

/// Nobody says goodbye: the call is known as long as its connection may come again.
#[test]
fn a_calls_connection_that_is_gone_takes_it_along() {
    let at = free();
    let engine = Engine::waiting(at);
    let mut pbx = pbx(Way::ConnectsForCalls(at));
    let calling = Call::to("9").patience(20_000).stay(20_000).start(&pbx);
    engine.started();
    pbx.kill();
    nothing_is_left(&engine);
    drop(calling);
}

fn asked(at: SocketAddr, headers: &str) -> String {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(wait::PATIENCE)).unwrap();
    write!(stream, "GET /asterisk/ari HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn only_the_groups_own_credentials_open_the_door() {
    let at = free();
    let _engine = Engine::waiting(at);
    let basic = |pair: String| {
        format!("Authorization: Basic {}\r\n", base64::engine::general_purpose::STANDARD.encode(pair))
    };
    for wrong in [
        String::new(),
        basic(format!("{ARI_USER}:wrong")),
        basic(format!("other:{ARI_PASSWORD}")),
        basic(format!("{ARI_USER}:{ARI_PASSWORD}x")),
        basic(String::new()),
        "Authorization: Bearer x\r\n".to_owned(),
    ] {
        let answer = asked(at, &wrong);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{wrong}: {answer}");
        assert!(answer.to_lowercase().contains("www-authenticate: basic"), "{answer}");
    }
    let answer = asked(at, &basic(format!("{ARI_USER}:{ARI_PASSWORD}")));
    assert!(answer.starts_with("HTTP/1.1 426 "), "{answer}");
}

/// An answer right behind an event does not wait until the event is acknowledged: 40 ms of Asterisk's, each time.
#[test]
fn answers_do_not_wait_for_acknowledgements() {
    // Where the service dials, Asterisk's HTTP server has switched that off already.
    let (engine, _pbx) = connects();
    engine.connected(1);
    let mut times: Vec<Duration> = (0..60)
        .map(|_| {
            let since = wait::now();
            engine.ask(Request::post("events").part("user").part("E").with("application", "hookswitch"));
            since.elapsed()
        })
        .collect();
    times.sort();
    println!("half {:?}, nine tenths {:?}", times[30], times[54]);
    assert!(times[30] < Duration::from_millis(20), "{times:?}");
}

/// Whoever reads too slowly gets a snapshot instead of what waited too long; Asterisk and requests notice nothing.
#[test]
fn a_slow_reader_gets_a_snapshot() {
    let (engine, pbx) = dialled();
    engine.connected(1);
    engine.deaf(true);
    let event = || Request::post("events").part("user").part("Much").with("application", "hookswitch");
    for _ in 0..=limits::QUEUE_EVENTS / 500 {
        let answers = engine.ask_many((0..500).map(|_| event()).collect());
        assert!(answers.iter().all(|answer| answer.as_ref().unwrap().is_done()), "{answers:?}");
    }
    engine.ask(local("meanwhile"));
    engine.deaf(false);
    let (snapshot, gap) = engine.connected(2);
    assert!(snapshot.channel_ids.contains("meanwhile"), "{snapshot:?}");
    let (from, to) = gap.unwrap();
    assert!(from < to, "{gap:?}");
    engine.ask(event());
    wait::until("the last event", || {
        let news = engine.news();
        matches!(news.last(), Some(News::Told(told)) if told.event.kind() == "ChannelUserevent").then_some(())
    });
    assert!(engine.told().len() < limits::QUEUE_EVENTS, "{}", engine.told().len());
    assert_eq!(engine.counts(), (2, 0));
    assert_eq!(pbx.complaints(), Vec::<String>::new());
}

fn leaked(text: String) -> &'static str {
    Box::leak(text.into_boxed_str())
}

fn watched(database: Database) -> ServiceOptions {
    ServiceOptions::new(database)
        .set("HOOKSWITCH_ARI__PBX__USERNAME", ARI_USER)
        .set("HOOKSWITCH_ARI__PBX__PASSWORD", ARI_PASSWORD)
        .set("HOOKSWITCH_ARI__PBX__APP", "hookswitch")
}

fn shows(service: &Service, connected: f64) {
    wait::until("the metric", || {
        let shown = service.metric(&["hookswitch_ari_connected", "asterisk=\"pbx\""]);
        ((shown - connected).abs() < 0.5).then_some(())
    });
}

fn service_and_asterisk_come_and_go(service: &mut Service, pbx: &mut Pbx) {
    shows(service, 1.0);
    service.kill();
    service.start_again();
    shows(service, 1.0);
    pbx.kill();
    shows(service, 0.0);
    pbx.start_again();
    shows(service, 1.0);
    assert!(service.stop().success(), "{}", service.log());
}

on_both! { the_service_dials_again, the_service_is_connected_to_again, a_refused_password_is_said_once }

fn the_service_dials_again(database: Database) {
    let mut pbx = pbx(Way::Dialled);
    let url = leaked(format!("http://{}", pbx.ari_address()));
    let mut service = Service::start(&watched(database).set("HOOKSWITCH_ARI__PBX__URL", url));
    service_and_asterisk_come_and_go(&mut service, &mut pbx);
}

fn the_service_is_connected_to_again(database: Database) {
    let mut service = Service::start(&watched(database));
    shows(&service, 0.0);
    let mut pbx = pbx(Way::Connects(service.http()));
    service_and_asterisk_come_and_go(&mut service, &mut pbx);
}

fn a_refused_password_is_said_once(database: Database) {
    let pbx = pbx(Way::Dialled);
    let url = leaked(format!("http://{}", pbx.ari_address()));
    let options = watched(database).set("HOOKSWITCH_ARI__PBX__URL", url);
    let service = Service::start(&options.set("HOOKSWITCH_ARI__PBX__PASSWORD", "wrong"));
    let said = || service.log().matches("Asterisk refuses the service").count();
    wait::until("the refusal", || (said() > 0).then_some(()));
    sleep(Duration::from_secs(2));
    assert_eq!(said(), 1, "{}", service.log());
    assert!(service.log().contains("ari.NAME.password") || service.log().contains("ari.NAME.username"));
    shows(&service, 0.0);
}
