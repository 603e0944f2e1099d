//! Important callers go straight to a person, all others wait in a queue.
//!
//! A caller is important whose contact has the tag `vip`, or whose number is in the setting `vip`. The settings
//! `endpoint` and `queue` say where the two go.

use hookswitch_plugin::{Call, Decision, Error, Plan, Target, contacts, log, settings};

/// Decides one call.
pub fn route_call(call: Call) -> Result<Decision, Error> {
    let number = call.caller_number();
    let to = |name, fallback: &str| settings::get(name).unwrap_or_else(|| fallback.to_owned());
    let (who, plan) = if is_vip(number) {
        let queue = Target::queue(to("queue", "support"));
        // Nobody picks up: a place in the queue is better than nothing.
        ("a VIP", Plan::to(Target::endpoint(to("endpoint", "101"))).then(queue).because("vip"))
    } else {
        ("not a VIP", Plan::to(Target::queue(to("queue", "support"))).because("not vip"))
    };
    log::info(format!("{} is {who}", if number.is_empty() { "a withheld number" } else { number }));
    Ok(plan.into())
}

fn is_vip(number: &str) -> bool {
    if number.is_empty() {
        return false;
    }
    if settings::get_list("vip").iter().any(|listed| listed == number) {
        return true;
    }
    match contacts::by_number(number) {
        Ok(contact) => contact.is_some_and(|contact| contact.has_tag("vip")),
        // Without an address book the caller is served like everybody.
        Err(failure) => {
            log::warn(format!("contacts: {}", failure.text()));
            false
        }
    }
}

hookswitch_plugin::router!(route_call);

#[cfg(test)]
mod tests {
    use hookswitch_plugin::testing::{Host, call, contact};

    use super::*;

    fn decide(host: &mut Host, caller: &str) -> Decision {
        host.run(|| route_call(call(caller))).unwrap()
    }

    fn direct() -> Decision {
        Plan::to(Target::endpoint("101")).then(Target::queue("support")).because("vip").into()
    }

    fn queued(queue: &str) -> Decision {
        Plan::to(Target::queue(queue)).because("not vip").into()
    }

    #[test]
    fn a_contact_with_the_tag_goes_to_the_endpoint() {
        let mut host = Host::default();
        host.contacts.push(contact("+15557770001", &["vip"]));
        host.contacts.push(contact("+15557770002", &["gold"]));
        assert_eq!(decide(&mut host, "+15557770001"), direct());
        assert_eq!(decide(&mut host, "+15557770002"), queued("support"));
        assert_eq!(host.log[0].1, "+15557770001 is a VIP");
    }

    #[test]
    fn a_listed_number_needs_no_contact() {
        let mut host = Host::default();
        host.denied.insert("contacts".into());
        host.set("vip", &["+15557770005"]);
        host.set("queue", &["sales"]);
        assert!(matches!(decide(&mut host, "+15557770005"), Decision::Route(plan) if plan.steps.len() == 2));
        assert_eq!(decide(&mut host, "+15557770006"), queued("sales"));
        assert_eq!(decide(&mut host, ""), queued("sales"));
    }
}
