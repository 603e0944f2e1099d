# Asks the caller for 1 or 2, then sends the call on.
from wit_world.imports import call_control, types


def handle_call(call):
    call_control.answer()
    prompts = [call_control.Prompt_Sound("vm-press"), call_control.Prompt_Digits("12")]
    pressed = call_control.gather(call_control.GatherOptions(prompts, 1, 5, 3, "")).digits
    print(f"{call.id}: pressed {pressed}")
    targets = {"1": types.Target_Queue("support"), "2": types.Target_Endpoint("101")}
    if pressed not in targets:
        return types.Decision_Pass()
    step = types.Step(targets[pressed], None, None)
    return types.Decision_Route(types.Plan([step], f"pressed {pressed}", []))
