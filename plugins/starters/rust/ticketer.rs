//! A ticket for every call that nobody answered.

use hookswitch_plugin::{Error, Event, Priority, TicketDraft, log};

fn on_event(event: Event) -> Result<Option<TicketDraft>, Error> {
    if event.kind != "call.missed" {
        return Ok(None);
    }
    log::info(format!("{} was missed", event.key));
    let draft = TicketDraft::new("missed-call", "A call was missed")
        .with_body(event.data)
        .with_priority(Priority::Normal)
        .with_tag("missed");
    Ok(Some(draft))
}

hookswitch_plugin::ticketer!(on_event);

#[cfg(test)]
mod tests {
    use hookswitch_plugin::testing::{Host, event};

    use super::*;

    #[test]
    fn only_missed_calls_make_tickets() {
        let mut host = Host::default();
        let draft = host.run(|| on_event(event("call.missed", "{}"))).unwrap();
        assert_eq!(draft.map(|draft| draft.rule), Some("missed-call".to_owned()));
        assert_eq!(host.run(|| on_event(event("call.ended", "{}"))).unwrap(), None);
    }
}
