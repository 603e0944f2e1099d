//! Callers with the tag `vip` go to a person, all others wait in a queue.

use hookswitch_plugin::{Call, Decision, Error, Plan, Target, contacts, log, settings};

fn route_call(call: Call) -> Result<Decision, Error> {
    let number = call.caller_number();
    let contact = contacts::by_number(number)?;
    let queue = Target::queue(settings::get("queue").ok_or("the setting `queue` is missing")?);
    if contact.is_some_and(|contact| contact.has_tag("vip")) {
        log::info(format!("{number} is a VIP"));
        return Ok(Plan::to(Target::endpoint("101")).within(20).then(queue).because("vip").into());
    }
    Ok(Plan::to(queue).because("everybody").into())
}

hookswitch_plugin::router!(route_call);

#[cfg(test)]
mod tests {
    use hookswitch_plugin::testing::{Host, call, contact};

    use super::*;

    #[test]
    fn a_vip_goes_to_a_person() {
        let mut host = Host::default();
        host.set("queue", &["support"]);
        host.contacts.push(contact("+15557770001", &["vip"]));
        let decision = host.run(|| route_call(call("+15557770001"))).unwrap();
        assert!(matches!(decision, Decision::Route(plan) if plan.steps[0].target == Target::endpoint("101")));
        let decision = host.run(|| route_call(call("+15557770002"))).unwrap();
        assert_eq!(decision, Plan::to(Target::queue("support")).because("everybody").into());
    }
}
