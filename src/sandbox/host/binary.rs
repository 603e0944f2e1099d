//! The grants as components import them.

use wasmtime::StoreContextMut;
use wasmtime::component::{Lift, Linker, LinkerInstance, Lower};

use super::gate;
use super::{Answer, Ask};
use crate::sandbox::VERSION;
use crate::sandbox::state::State;
use crate::sandbox::types::{
    Contact, DialStatus, Failure, GatherOptions, Gathered, Level, Prompt, Recording, Request, Response,
    Target, Ticket,
};

/// What a function of a grant returns.
type Reply<T> = (Result<T, Failure>,);

/// Defines every interface of `wit/1.0.0/grants.wit`.
pub(in crate::sandbox) fn link(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    // Types only; components import it like the others.
    linker.instance(&interface("types"))?;
    let mut log = linker.instance(&interface("log"))?;
    log.func_wrap("write", |mut store: StoreContextMut<'_, State>, (level, message): (Level, String)| {
        store.data_mut().log(level, message);
        Ok(())
    })?;
    let mut settings = linker.instance(&interface("settings"))?;
    settings.func_wrap("get", |store: StoreContextMut<'_, State>, (name,): (String,)| {
        Ok((store.data().setting(&name),))
    })?;
    settings.func_wrap("get-list", |store: StoreContextMut<'_, State>, (name,): (String,)| {
        Ok((store.data().setting_list(&name),))
    })?;
    kv(&mut linker.instance(&interface("kv"))?)?;
    asked(&mut linker.instance(&interface("contacts"))?, "by-number", contact, |(number,): (String,)| {
        Ask::ContactByNumber { number }
    })?;
    asked(&mut linker.instance(&interface("http"))?, "send", response, |(request,): (Request,)| {
        Ask::HttpSend(request)
    })?;
    let mut tickets = linker.instance(&interface("tickets"))?;
    asked(&mut tickets, "open-for", self::tickets, |(number,): (String,)| Ask::TicketsOpenFor { number })?;
    asked(&mut tickets, "comment", nothing, |(id, text): (String, String)| Ask::TicketComment { id, text })?;
    control(&mut linker.instance(&interface("call-control"))?)
}

/// The full name of an interface.
fn interface(name: &str) -> String {
    format!("hookswitch:plugin/{name}@{VERSION}")
}

fn kv(kv: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    asked(kv, "get", text, |(key,): (String,)| Ask::KvGet { key })?;
    asked(kv, "set", nothing, |(key, value, ttl): (String, String, Option<u32>)| Ask::KvSet {
        key,
        value,
        ttl,
    })?;
    asked(kv, "delete", flag, |(key,): (String,)| Ask::KvDelete { key })?;
    asked(kv, "increment", number, |(key, by, ttl): (String, i64, Option<u32>)| Ask::KvIncrement {
        key,
        by,
        ttl,
    })
}

fn control(control: &mut LinkerInstance<'_, State>) -> wasmtime::Result<()> {
    asked(control, "answer", nothing, |(): ()| Ask::Answer)?;
    asked(control, "play", text, |(prompts, interrupt_on): (Vec<Prompt>, String)| Ask::Play {
        prompts,
        interrupt_on,
    })?;
    asked(control, "say", nothing, |(prompts,): (Vec<Prompt>,)| Ask::Say { prompts })?;
    asked(control, "gather", gathered, |(options,): (GatherOptions,)| Ask::Gather(options))?;
    asked(control, "record", recording, |(max_seconds, terminators, beep): (u32, String, bool)| {
        Ask::Record { max_seconds, terminators, beep }
    })?;
    asked(control, "dial", dialled, |(target, timeout): (Target, u32)| Ask::Dial { target, timeout })?;
    asked(control, "get-variable", text, |(name,): (String,)| Ask::GetVariable { name })?;
    asked(control, "set-variable", nothing, |(name, value): (String, String)| Ask::SetVariable {
        name,
        value,
    })?;
    control.func_wrap_async("now", |store: StoreContextMut<'_, State>, (): ()| {
        Box::new(async move {
            match gate::ask(store, Ask::Now).await? {
                Ok(Answer::Moment(ms)) => Ok((ms,)),
                // The function has no way to fail; a host that does not know the time has none.
                _ => Ok((0_u64,)),
            }
        })
    })
}

/// One function that goes through the gate.
fn asked<P, T>(
    interface: &mut LinkerInstance<'_, State>,
    name: &'static str,
    read: fn(Answer) -> Option<T>,
    ask: fn(P) -> Ask,
) -> wasmtime::Result<()>
where
    P: wasmtime::component::ComponentNamedList + Lift + Send + 'static,
    T: Lower + Send + 'static,
    Reply<T>: wasmtime::component::ComponentNamedList + Lower,
{
    interface.func_wrap_async(name, move |store: StoreContextMut<'_, State>, arguments: P| {
        Box::new(async move {
            let answer = gate::ask(store, ask(arguments)).await?;
            Ok((answer.and_then(|answer| read(answer).ok_or_else(|| unfit(name))),))
        })
    })
}

fn unfit(name: &str) -> Failure {
    Failure::Other(("internal".into(), format!("the service has no answer that fits {name}")))
}

fn nothing(answer: Answer) -> Option<()> {
    matches!(answer, Answer::Nothing).then_some(())
}

/// A reader of one kind of answer.
macro_rules! readers {
    ($($name:ident: $kind:ident -> $type:ty,)*) => { $(
        fn $name(answer: Answer) -> Option<$type> {
            match answer {
                Answer::$kind(inner) => Some(inner),
                _ => None,
            }
        }
    )* };
}

readers! {
    flag: Flag -> bool,
    number: Number -> i64,
    text: Text -> Option<String>,
    contact: Contact -> Option<Contact>,
    response: Response -> Response,
    tickets: Tickets -> Vec<Ticket>,
    gathered: Gathered -> Gathered,
    recording: Recording -> Recording,
    dialled: Dialled -> DialStatus,
}
