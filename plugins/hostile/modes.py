# One router that misbehaves in the way its setting `mode` says.
import random
import time

from componentize_py_types import Err
from wit_world.imports import settings, types


def deep(n):
    return deep(n + 1) + 1


def hang_up(reason):
    return types.Decision_HangUp(types.Farewell(types.HangupCause.NORMAL, reason))


def route_call(call):
    mode = settings.get("mode")
    if mode == "error-string":
        raise Err("no such customer")
    if mode == "error-object":
        raise ValueError("no such customer")
    if mode == "spin":
        while True:
            pass
    if mode == "recurse":
        deep(0)
    if mode == "bomb":
        everything = []
        while True:
            everything.append(bytearray(1 << 20))
    if mode == "wrong-shape":
        return {"queue": "support"}
    if mode == "nothing":
        return None
    if mode == "chance":
        return hang_up(f"{random.random()} {time.time()}")
    if mode == "console":
        print("hello")
    if mode == "file":
        open("/etc/passwd")
    return types.Decision_Pass()
