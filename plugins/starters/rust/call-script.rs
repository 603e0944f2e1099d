//! Asks the caller for 1 or 2, then sends the call on.

use hookswitch_plugin::call_control::{self, GatherOptions, Prompt};
use hookswitch_plugin::{Call, Decision, Error, Plan, Target, log};

fn handle_call(_call: Call) -> Result<Decision, Error> {
    call_control::answer()?;
    let asked = GatherOptions::digits(1, vec![Prompt::sound("vm-press"), Prompt::Digits("12".into())]);
    let pressed = call_control::gather(&asked)?.digits;
    log::info(format!("pressed: {pressed}"));
    Ok(match pressed.as_str() {
        "1" => Plan::to(Target::queue("support")).because("pressed 1").into(),
        "2" => Plan::to(Target::endpoint("101")).because("pressed 2").into(),
        _ => Decision::Pass,
    })
}

hookswitch_plugin::call_script!(handle_call);

#[cfg(test)]
mod tests {
    use hookswitch_plugin::testing::{Host, call};

    use super::*;

    #[test]
    fn the_key_decides() {
        let mut host = Host::default();
        host.press("2-");
        let decision = host.run(|| handle_call(call("+15557770001"))).unwrap();
        assert_eq!(decision, Plan::to(Target::endpoint("101")).because("pressed 2").into());
        assert_eq!(host.run(|| handle_call(call("+15557770001"))).unwrap(), Decision::Pass);
    }
}
