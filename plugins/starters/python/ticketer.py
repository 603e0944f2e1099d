# A ticket for every call that nobody answered.
import json

from wit_world.imports import types


def on_event(event):
    if event.kind != "call.missed":
        return None
    data = json.loads(event.data)
    number = data["caller_number"]
    print(f"{number} was missed")
    return types.TicketDraft(
        rule="missed-call",
        subject=f"Missed call from {number or 'a withheld number'}",
        body=f"Somebody called {data['did']} and nobody answered.",
        priority=types.Priority.NORMAL,
        contact=number,
        tags=["missed"],
        fields=[],
    )
