//! The grants as scripts reach them: one function with a name and JSON arguments, behind the same gate.

use serde::de::DeserializeOwned;
use serde_json::Value;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use super::{Answer, Ask, gate};
use crate::sandbox::state::State;
use crate::sandbox::types::{Failure, GatherOptions, Level, Prompt, Request, Target};

/// The JavaScript engine's one import.
pub(in crate::sandbox) const INTERFACE: &str = "hookswitch:js/host@1.0.0";

/// Seconds to the first key, and to each further one, where a script does not say.
const GATHER_DEFAULTS: (u32, u32) = (5, 3);

/// Defines the door.
pub(in crate::sandbox) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    let mut door = linker.instance(INTERFACE)?;
    door.func_wrap_async("call", |store: StoreContextMut<'_, State>, (name, args): (String, String)| {
        Box::new(async move { Ok((call(store, &name, &args).await?,)) })
    })
}

/// An answer as JSON, or the failure as JSON.
async fn call(
    mut store: StoreContextMut<'_, State>,
    name: &str,
    args: &str,
) -> wasmtime::Result<Result<String, String>> {
    let state = store.data_mut();
    let local = match name {
        "log.write" => Some(read(args).map(|(level, message): (Level, String)| {
            state.log(level, message);
            Value::Null
        })),
        "settings.get" => Some(read(args).map(|(name,): (String,)| state.setting(&name).into())),
        "settings.getList" => Some(read(args).map(|(name,): (String,)| state.setting_list(&name).into())),
        _ => None,
    };
    let answer = match local {
        Some(answer) => answer.map(|value| value.to_string()),
        None => match question(name, args) {
            Ok(ask) => gate::ask(store, ask).await?.map(|answer| show(&answer)),
            Err(failure) => Err(failure),
        },
    };
    // Texts of our own types: nothing in them can fail.
    Ok(answer.map_err(|failure| serde_json::to_string(&failure).unwrap_or_default()))
}

/// What a script asks for.
fn question(name: &str, args: &str) -> Result<Ask, Failure> {
    Ok(match name {
        "kv.get" => read(args).map(|(key,)| Ask::KvGet { key })?,
        "kv.set" => read(args).map(|(key, value, ttl)| Ask::KvSet { key, value, ttl })?,
        "kv.delete" => read(args).map(|(key,)| Ask::KvDelete { key })?,
        "kv.increment" => read(args).map(|(key, by, ttl): (_, Option<i64>, _)| Ask::KvIncrement {
            key,
            by: by.unwrap_or(1),
            ttl,
        })?,
        "contacts.byNumber" => read(args).map(|(number,)| Ask::ContactByNumber { number })?,
        "http.send" => read(args).map(|(request,): (Request,)| Ask::HttpSend(request))?,
        "tickets.openFor" => read(args).map(|(number,)| Ask::TicketsOpenFor { number })?,
        "tickets.comment" => read(args).map(|(id, text)| Ask::TicketComment { id, text })?,
        "callControl.answer" => Ask::Answer,
        "callControl.play" => {
            let (prompts, keys): (Value, Option<String>) = read(args)?;
            Ask::Play { prompts: self::prompts(prompts)?, interrupt_on: keys.unwrap_or_default() }
        }
        "callControl.say" => {
            let (prompts,): (Value,) = read(args)?;
            Ask::Say { prompts: self::prompts(prompts)? }
        }
        "callControl.gather" => {
            let (options,): (Value,) = read(args)?;
            Ask::Gather(gather(options)?)
        }
        "callControl.record" => {
            let (max_seconds, terminators, beep): (u32, Option<String>, Option<bool>) = read(args)?;
            Ask::Record {
                max_seconds,
                terminators: terminators.unwrap_or_else(|| "#".into()),
                beep: beep.unwrap_or(true),
            }
        }
        "callControl.dial" => read(args).map(|(target, timeout): (Target, Option<u32>)| Ask::Dial {
            target,
            timeout: timeout.unwrap_or(30),
        })?,
        "callControl.getVariable" => read(args).map(|(name,)| Ask::GetVariable { name })?,
        "callControl.setVariable" => read(args).map(|(name, value)| Ask::SetVariable { name, value })?,
        "callControl.now" => Ask::Now,
        other => return Err(Failure::Invalid(format!("there is no function {other}"))),
    })
}

/// Arguments as a script gave them: what it left out is null.
fn read<T: DeserializeOwned + Arguments>(args: &str) -> Result<T, Failure> {
    let wrong = |error: serde_json::Error| Failure::Invalid(error.to_string());
    let mut all: Vec<Value> = serde_json::from_str(args).map_err(wrong)?;
    all.resize(T::COUNT, Value::Null);
    serde_json::from_value(Value::Array(all)).map_err(wrong)
}

/// How many arguments a tuple holds.
trait Arguments {
    const COUNT: usize;
}
impl<A> Arguments for (A,) {
    const COUNT: usize = 1;
}
impl<A, B> Arguments for (A, B) {
    const COUNT: usize = 2;
}
impl<A, B, C> Arguments for (A, B, C) {
    const COUNT: usize = 3;
}

/// Prompts: one or several, a text is the name of a sound.
fn prompts(value: Value) -> Result<Vec<Prompt>, Failure> {
    let list = match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list,
        one => vec![one],
    };
    list.into_iter()
        .map(|one| match one {
            Value::String(sound) => Ok(Prompt::Sound(sound)),
            other => serde_json::from_value(other).map_err(|e| Failure::Invalid(format!("prompt: {e}"))),
        })
        .collect()
}

/// Options of `gather`, with what a script may leave out.
fn gather(value: Value) -> Result<GatherOptions, Failure> {
    let Value::Object(mut options) = value else {
        return Err(Failure::Invalid("gather wants an object such as {prompts, maxDigits}".into()));
    };
    let prompts = prompts(options.remove("prompts").unwrap_or_default())?;
    let (timeout, pause) = GATHER_DEFAULTS;
    options.entry("timeout").or_insert_with(|| timeout.into());
    options.entry("pause").or_insert_with(|| pause.into());
    options.entry("maxDigits").or_insert_with(|| 1.into());
    let options: GatherOptions =
        serde_json::from_value(Value::Object(options)).map_err(|e| Failure::Invalid(e.to_string()))?;
    Ok(GatherOptions { prompts, ..options })
}

/// An answer as JSON.
fn show(answer: &Answer) -> String {
    let json = match answer {
        Answer::Nothing => return "null".into(),
        Answer::Flag(flag) => return flag.to_string(),
        Answer::Number(number) => return number.to_string(),
        Answer::Moment(ms) => return ms.to_string(),
        Answer::Text(text) => serde_json::to_string(text),
        Answer::Contact(contact) => serde_json::to_string(contact),
        Answer::Response(response) => serde_json::to_string(response),
        Answer::Tickets(tickets) => serde_json::to_string(tickets),
        Answer::Gathered(gathered) => serde_json::to_string(gathered),
        Answer::Recording(recording) => serde_json::to_string(recording),
        Answer::Dialled(status) => serde_json::to_string(status),
    };
    // Texts of our own types: nothing in them can fail.
    json.unwrap_or_else(|_| "null".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_script_leaves_out_is_filled_in() {
        assert_eq!(
            question("kv.set", r#"["k","v"]"#),
            Ok(Ask::KvSet { key: "k".into(), value: "v".into(), ttl: None })
        );
        assert_eq!(
            question("kv.increment", r#"["k"]"#),
            Ok(Ask::KvIncrement { key: "k".into(), by: 1, ttl: None })
        );
        assert_eq!(
            question(
                "callControl.gather",
                r#"[{"prompts":["beep",{"tag":"digits","val":"12"}],"maxDigits":4}]"#
            ),
            Ok(Ask::Gather(GatherOptions {
                prompts: vec![Prompt::Sound("beep".into()), Prompt::Digits("12".into())],
                max_digits: 4,
                timeout: 5,
                pause: 3,
                terminators: String::new(),
            }))
        );
    }

    #[test]
    fn nonsense_is_a_failure_that_says_so() {
        for (name, args) in [
            ("kv.get", "[]"),
            ("kv.get", "[1]"),
            ("kv.get", "nonsense"),
            ("no.such", "[]"),
            ("callControl.gather", "[3]"),
            ("callControl.gather", r#"[{"maxDigits":400}]"#),
            ("callControl.play", r#"[[{"tag":"song","val":"x"}]]"#),
            ("http.send", r#"[{"url":"https://a.test"}]"#),
        ] {
            assert!(matches!(question(name, args), Err(Failure::Invalid(_))), "{name} {args}");
        }
    }
}
