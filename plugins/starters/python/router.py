# Callers with the tag `vip` go to a person, all others wait in a queue.
from wit_world.imports import contacts, settings, types


def route_call(call):
    contact = contacts.by_number(call.caller.number) if call.caller.number else None
    queue = types.Step(types.Target_Queue(settings.get("queue") or "support"), None, None)
    if contact and "vip" in contact.tags:
        print(f"{contact.name} is a VIP")
        person = types.Step(types.Target_Endpoint("101"), 20, None)
        return types.Decision_Route(types.Plan([person, queue], "vip", []))
    return types.Decision_Route(types.Plan([queue], "everybody", []))
