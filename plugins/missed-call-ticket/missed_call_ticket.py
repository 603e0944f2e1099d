# A ticket for every call that nobody answered, so that somebody calls back.
#
# Settings: `priority` (low, normal, high or urgent) and `tags`.
import json

from wit_world.imports import settings, types


def wall(local):
    return f"{local.year:04}-{local.month:02}-{local.day:02} {local.hour:02}:{local.minute:02}"


def priority():
    name = (settings.get("priority") or "normal").upper()
    try:
        return types.Priority[name]
    except KeyError:
        raise ValueError(f"the setting `priority` is {name.lower()}: use low, normal, high or urgent")


def on_event(event):
    if event.kind != "call.missed":
        return None
    call = json.loads(event.data)
    number = call.get("caller_number")
    who = number or "a withheld number"
    if number and call.get("caller_name"):
        who = f"{call['caller_name']} ({number})"
    seconds = (call.get("duration_ms") or 0) // 1000
    print(f"missed call from {number or 'a withheld number'} to {call.get('did')}")
    return types.TicketDraft(
        rule="missed-call",
        subject=f"Missed call from {who}"[:200],
        body=(
            f"{who} called {call.get('did') or 'an unknown number'} and nobody answered.\n\n"
            f"The call ended on {wall(event.local)} after {seconds} s. Call: {call.get('call_id')}"
        ),
        priority=priority(),
        # Only a number outside makes a contact.
        contact=number if number and number.startswith("+") else None,
        tags=settings.get_list("tags"),
        fields=[],
    )
