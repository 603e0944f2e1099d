//! Menus over the router: what each key does, how often a menu asks, where a dialogue ends, and that a recorded one
//! ends the same way again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use hookswitch::base::ids::Sound;
use hookswitch::routing::ivr::{Heard, Outcome, Phone, RecordingPhone, ScriptedPhone, run};
use hookswitch::routing::memory::Found;
use hookswitch::routing::trace::{Recorder, Trace};
use proptest::prelude::*;

use crate::support::{TestDb, both_databases, name, tenant};
use crate::world::{DID, Did, World, brief, sound, steps, to};

/// A caller who presses keys as told and remembers what was played and waited for.
struct Caller {
    keys: ScriptedPhone,
    heard: Vec<String>,
}

impl Caller {
    fn new(keys: &str) -> Self {
        Self { keys: ScriptedPhone::new(keys), heard: Vec::new() }
    }
}

impl Phone for Caller {
    async fn play(&mut self, sound: &Sound, interruptible: bool) -> Heard {
        self.heard.push(sound.to_string());
        self.keys.play(sound, interruptible).await
    }

    async fn digit(&mut self, wait_ms: u32) -> Heard {
        self.heard.push(format!("{wait_ms}"));
        self.keys.digit(wait_ms).await
    }
}

/// Menus `main` (1 queue, 2 sub, 3 itself, 0 repeat, # goodbye, * back, 9 endpoint that is gone) and `sub`.
async fn world(t: &Arc<TestDb>) -> World {
    let did = Did { route: to("ivr:main"), further: vec![("overflow", "voicemail:101")], ..Did::default() };
    let world = World::acme(t, Some(did)).await;
    let main = [
        ("1", "queue:support"),
        ("2", "ivr:sub"),
        ("3", "ivr:main"),
        ("0", "repeat"),
        ("#", "goodbye"),
        ("*", "back"),
        ("9", "endpoint:gone"),
        ("8", "ivr:gone"),
        ("77", "external:+15559990000"),
    ];
    world.menu("acme", "main", &main, |_| {}).await;
    world
        .menu("acme", "sub", &[("1", "endpoint:101"), ("*", "back"), ("2", "ivr:main")], |m| m.max_tries = 2)
        .await;
    world
}

async fn dial(world: &World, menu: &str, keys: &str) -> (Trace, Vec<String>) {
    let mut caller = Caller::new(keys);
    let state = format!("d:acme:{DID}:p");
    let trace = world.router.ivr(None, &state, menu, world.inputs(DID), &mut caller).await;
    sound(&trace);
    (trace, caller.heard)
}

both_databases! {
    async fn each_key_does_what_it_says(t) {
        let world = world(&t).await;
        for (keys, expected) in [
            ("1", "queue acme-support ivr"),
            ("-1", "queue acme-support ivr"),
            ("21", "endpoint acme-101 ivr"),
            ("2*1", "queue acme-support ivr"),
            ("22*1", "endpoint acme-101 ivr"),
            ("*1", "queue acme-support ivr"),
            ("00001", "queue acme-support ivr"),
            ("#", "hangup 16 ivr-goodbye"),
            ("77", "external +15559990000 ivr"),
            ("9", "voicemail 101@acme overflow"),
            ("81", "queue acme-support ivr"),
            ("51", "queue acme-support ivr"),
            ("555", "voicemail 101@acme ivr-no-input"),
            ("------", "voicemail 101@acme ivr-no-input"),
            ("7----", "voicemail 101@acme ivr-no-input"),
            ("", "voicemail 101@acme ivr-no-input"),
            ("25-55", "voicemail 101@acme ivr-no-input"),
            ("!", "hangup 16 caller-gone"),
            ("-!", "hangup 16 caller-gone"),
            ("5!", "hangup 16 caller-gone"),
            ("7!", "hangup 16 caller-gone"),
            ("2!", "hangup 16 caller-gone"),
            ("#!", "hangup 16 caller-gone"),
        ] {
            let (trace, heard) = dial(&world, "main", keys).await;
            assert_eq!(brief(&trace), expected, "{keys:?} {heard:?} {:?}", steps(&trace));
        }
    }

    async fn a_menu_that_points_at_itself_ends(t) {
        let world = world(&t).await;
        for keys in ["3".repeat(100), "0".repeat(100), "22".repeat(100), "2*".repeat(100), "*".repeat(100)] {
            let (trace, heard) = dial(&world, "main", &keys).await;
            assert_eq!(brief(&trace), "voicemail 101@acme ivr-loop", "{keys}");
            assert_eq!(heard.len(), hookswitch::config::limits::ivr::HOPS);
        }
    }

    async fn prompts_come_in_the_callers_language(t) {
        let world = world(&t).await;
        for (did, tenant, channel, prompt) in [("", "en", "", "main"), ("", "en", "de", "main-de"), ("", "en", "de_AT", "main-de"),
            ("de-CH", "en", "fr", "main-de"), ("fr", "de", "de", "main"), ("", "de", "", "main-de")] {
            world.change("acme", &format!("UPDATE tenants SET language = '{tenant}', updated_at = updated_at + 1")).await;
            world.change("acme", &format!("UPDATE dids SET language = '{did}', updated_at = updated_at + 1")).await;
            let mut caller = Caller::new("1");
            let inputs = hookswitch::routing::types::Inputs { language: channel.into(), ..world.inputs(DID) };
            world.router.ivr(None, &format!("d:acme:{DID}:p"), "main", inputs, &mut caller).await;
            assert_eq!(caller.heard, [prompt], "{did:?} {tenant:?} {channel:?}");
        }
    }

    async fn silence_and_wrong_keys_are_counted_and_answered(t) {
        let world = world(&t).await;
        assert_eq!(dial(&world, "main", "5-71").await.1, ["main", "invalid", "main", "5000", "2000", "invalid", "main"]
            .map(String::from).into_iter().chain(["5000".to_owned()]).collect::<Vec<_>>());
        // The demo's end of the line: nothing follows, so goodbye is said.
        world.change("acme", "DELETE FROM destinations").await;
        let (trace, heard) = dial(&world, "main", "").await;
        assert_eq!(brief(&trace), "hangup 16 ivr-no-input");
        assert_eq!(heard, ["main", "5000", "main", "5000", "main", "5000", "goodbye"]);
        assert_eq!(dial(&world, "sub", "").await.1, ["sub", "5000", "sub", "5000", "goodbye"]);
    }

    /// With direct dial, 1 may be the choice or the beginning of 101: the wait between digits tells.
    async fn an_extension_can_be_dialled_beside_a_choice(t) {
        let world = World::acme(&t, Some(Did { route: to("ivr:direct"), ..Did::default() })).await;
        world.menu("acme", "direct", &[("1", "queue:support"), ("600", "hangup:21")], |m| m.direct_dial = true).await;
        world.endpoint("acme", "1013").await;
        world.router.memory.refresh().await.unwrap();
        for (keys, expected, waits) in [
            ("1-", "queue acme-support ivr", 1),
            ("101-", "endpoint acme-101 ivr", 3),
            ("1013", "endpoint acme-1013 ivr", 3),
            // The menu's own choice beats the queue's extension.
            ("600", "hangup 21 ivr", 2),
        ] {
            let (trace, heard) = dial(&world, "direct", keys).await;
            assert_eq!(brief(&trace), expected, "{keys}");
            assert_eq!(heard.iter().filter(|h| *h == "2000").count(), waits, "{keys} {heard:?}");
        }
        let (trace, _) = dial(&world, "direct", "10-").await;
        assert!(steps(&trace).contains(&"ivr=invalid".to_owned()), "{:?}", steps(&trace));
    }

    async fn menus_that_are_not_there(t) {
        let world = world(&t).await;
        for menu in ["gone", "Main", "", "main; DROP"] {
            assert_eq!(brief(&dial(&world, menu, "1").await.0), "voicemail 101@acme overflow", "{menu:?}");
        }
        for (state, expected) in [("", "hangup 41 bad-state"), ("i:acme:101:p", "hangup 41 bad-state"), ("d:acme:+15550009999:p", "hangup 41 no-destination")] {
            let mut caller = Caller::new("1");
            let trace = world.router.ivr(None, state, "main", world.inputs(DID), &mut caller).await;
            assert_eq!((brief(&trace).as_str(), caller.heard.len()), (expected, 0), "{state}");
        }
    }

    async fn a_failed_menu_says_so_before_the_next_destination(t) {
        let world = world(&t).await;
        let (trace, _) = dial(&world, "main", "").await;
        assert_eq!(brief(&world.next(&trace.decision.state).await), "hangup 41 no-destination");
        let (trace, _) = dial(&world, "main", "1").await;
        assert_eq!(trace.decision.state, format!("d:acme:{DID}:p"));
        assert_eq!(brief(&world.next(&trace.decision.state).await), "voicemail 101@acme overflow");
    }
}

/// A caller with any keys and waits, who hangs up at any point, announcements included.
struct AnyCaller {
    script: Vec<u8>,
    at: usize,
    gone_after: usize,
    asked: Arc<AtomicU32>,
}

impl AnyCaller {
    fn hear(&mut self, keys_count: bool) -> Heard {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.asked.load(Ordering::Relaxed) as usize > self.gone_after {
            return Heard::Gone;
        }
        if !keys_count {
            return Heard::Silence;
        }
        self.at += 1;
        match self.script.get(self.at - 1) {
            Some(b'-') | None => Heard::Silence,
            Some(key) => Heard::Digit(*key),
        }
    }
}

impl Phone for AnyCaller {
    async fn play(&mut self, _: &Sound, interruptible: bool) -> Heard {
        self.hear(interruptible)
    }

    async fn digit(&mut self, _: u32) -> Heard {
        self.hear(true)
    }
}

/// What was recorded, played again, ends the same way.
#[test]
fn a_recorded_dialogue_ends_the_same_way_again() {
    crate::support::run(crate::support::Kind::Sqlite, |t| async move {
        let world = world(&t).await;
        world.menu("acme", "direct", &[("1", "ivr:main"), ("2", "goodbye")], |m| m.direct_dial = true).await;
        let Found::Rules(rules) = world.router.memory.by_tenant(&tenant("acme")).await else { panic!() };
        let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::default());
        let keys = prop::collection::vec(prop::sample::select(b"0123456789*#-".to_vec()), 0..12);
        let shape = (keys, 0_usize..40, prop::sample::select(vec!["main", "sub", "direct"]));
        let mut outcomes = std::collections::HashSet::new();
        for _ in 0..3_000 {
            use proptest::strategy::ValueTree;
            let (script, gone_after, menu) = shape.new_tree(&mut runner).unwrap().current();
            let menu = &rules.menus[&name(menu)];
            let text = String::from_utf8_lossy(&script).into_owned();
            let mut caller = AnyCaller { script, at: 0, gone_after, asked: Arc::default() };
            let mut recording = RecordingPhone::new(&mut caller);
            let first = run(&rules, menu, "en", &mut recording, &mut Recorder::default()).await;
            let keys = recording.keys;
            let mut replay = ScriptedPhone::new(&keys);
            let again = run(&rules, menu, "en", &mut replay, &mut Recorder::default()).await;
            assert_eq!(first, again, "{text:?}, gone after {gone_after}, recorded as {keys:?}");
            outcomes.insert(std::mem::discriminant(&first));
        }
        assert_eq!(outcomes.len(), 4, "go, goodbye, no input, gone: {outcomes:?}");
        let _: Outcome = Outcome::Loop;
    });
}
