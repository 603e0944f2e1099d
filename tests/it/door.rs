//! The engine's own reader and writer of JSON, through which everything goes that a script gets and gives: whatever the host
//! hands over is read as it was meant, and whatever a script gives arrives as it was. Checked against serde on this side
//! and the language's own `JSON` on the other.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use hookswitch::sandbox::types::{
    Call, Contact, Decision, Farewell, Field, HangupCause, Party, Request, Response,
};
use hookswitch::sandbox::{
    Answer, Answering, Ask, Grants, Host, Input, Job, Language, Outcome, Program, Sandbox, Setting, Settings,
    Share, World,
};
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::sandbox::sandbox;

const SCRIPT: &str = "export function routeCall(call) {
    kv.set('call', JSON.stringify(call));
    kv.set('contact', JSON.stringify(contacts.byNumber('+1')));
    kv.set('response', JSON.stringify(http.send(JSON.parse(settings.get('request')))));
    return JSON.parse(settings.get('decision'));
}";

/// Gives what it has, and remembers what it was given.
struct Desk {
    contact: Option<Contact>,
    response: Response,
    heard: Mutex<Vec<Ask>>,
}

impl Host for Desk {
    fn ask<'a>(&'a self, ask: &'a Ask) -> Answering<'a> {
        self.heard.lock().unwrap().push(ask.clone());
        let answer = match ask {
            Ask::ContactByNumber { .. } => Answer::Contact(self.contact.clone()),
            Ask::HttpSend(_) => Answer::Response(self.response.clone()),
            _ => Answer::Nothing,
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// Texts with everything that has to be escaped, or only looks so, among whatever else there is.
fn text() -> impl Strategy<Value = String> {
    let odd = prop::sample::select(vec![
        "\"",
        "\\",
        "/",
        "\u{0}",
        "\u{1f}",
        "\u{7f}",
        "\n",
        "\r",
        "\t",
        "\u{8}",
        "\u{c}",
        "\u{2028}",
        "\u{2029}",
        "\u{feff}",
        "\u{fffe}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{1f4de}",
        "\\u0041",
        "\\ud800",
        "</script>",
        "{",
        "]",
        ",",
        "\u{80}",
        "\u{7ff}",
        "\u{800}",
        "\u{d7ff}",
        "\u{e000}",
        "é",
        "12345678901234567890",
    ])
    .prop_map(str::to_owned);
    let piece = prop_oneof![odd, any::<char>().prop_map(String::from), "[ -~]{0,20}"];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
}

fn fields() -> impl Strategy<Value = Vec<Field>> {
    prop::collection::vec((text(), text()).prop_map(|(name, value)| Field { name, value }), 0..4)
}

/// What JavaScript counts exactly.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..=9_007_199_254_740_991_u64, Just(0), Just(9_007_199_254_740_991), Just(4_294_967_296)]
}

fn call() -> impl Strategy<Value = Call> {
    let party = (prop::option::of(text()), prop::option::of(text()));
    (text(), party, text(), number(), number(), fields()).prop_map(
        |(id, party, dialled, at, seed, variables)| Call {
            id,
            caller: Party { number: party.0, name: party.1 },
            dialled,
            at,
            seed,
            variables,
            ..Call::default()
        },
    )
}

fn contact() -> impl Strategy<Value = Option<Contact>> {
    let lists = (prop::collection::vec(text(), 0..4), prop::collection::vec(text(), 0..4));
    let one = (text(), text(), prop::option::of(text()), lists, fields());
    prop::option::of(one.prop_map(|(id, name, company, (numbers, tags), fields)| Contact {
        id,
        name,
        company,
        numbers,
        tags,
        fields,
    }))
}

fn request() -> impl Strategy<Value = Request> {
    (text(), text(), fields(), prop::option::of(text()), prop::option::of(any::<u32>()))
        .prop_map(|(method, url, headers, body, timeout)| Request { method, url, headers, body, timeout })
}

fn response() -> impl Strategy<Value = Response> {
    (any::<u16>(), fields(), text()).prop_map(|(status, headers, body)| Response { status, headers, body })
}

/// Asks the script once; what it said, and what the host heard.
async fn ask(
    (sandbox, program): (&Arc<Sandbox>, &Arc<Program>),
    call: Call,
    (contact, response): (Option<Contact>, Response),
    (request, decision): (&Request, &Decision),
) -> (Option<Decision>, Vec<Ask>) {
    let desk = Arc::new(Desk { contact, response, heard: Mutex::default() });
    let settings: Settings = [
        ("request".to_owned(), Setting::Text(serde_json::to_string(request).unwrap())),
        ("decision".to_owned(), Setting::Text(serde_json::to_string(decision).unwrap())),
    ]
    .into_iter()
    .collect();
    let job = Job {
        input: Input::Call(Box::new(call)),
        settings: Arc::new(settings),
        grants: Grants::all(),
        limits: World::Router.limits(),
        host: Arc::<Desk>::clone(&desk),
        share: Arc::new(Share::default()),
    };
    let report = sandbox.run(program, job).await;
    assert_eq!(report.outcome, Outcome::Ok, "{}", report.text);
    let heard = desk.heard.lock().unwrap().clone();
    (report.decision().cloned(), heard)
}

#[test]
fn everything_arrives_as_it_was() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let sandbox = sandbox();
    let source = Bytes::from_static(SCRIPT.as_bytes());
    let program = runtime.block_on(sandbox.load(source, Language::JavaScript, World::Router)).unwrap();
    let given = (call(), contact(), response(), request(), text());
    proptest!(ProptestConfig::with_cases(1_000), |((call, contact, response, request, reason) in given)| {
        let reason = reason.chars().take(200).collect();
        let decision = Decision::HangUp(Farewell { cause: HangupCause::Busy, reason: Some(reason) });
        let answers = (contact.clone(), response.clone());
        let (said, heard) =
            runtime.block_on(ask((&sandbox, &program), call.clone(), answers, (&request, &decision)));
        prop_assert_eq!(said, Some(decision));
        prop_assert!(heard.contains(&Ask::HttpSend(request)), "{:?}", heard);
        for (name, meant) in [("call", json!(call)), ("contact", json!(contact)), ("response", json!(response))] {
            let got = heard.iter().find_map(|ask| match ask {
                Ask::KvSet { key, value, .. } if key == name => Some(value),
                _ => None,
            });
            let got: Value = serde_json::from_str(got.unwrap()).unwrap();
            prop_assert_eq!(got, meant, "{}", name);
        }
    });
}
