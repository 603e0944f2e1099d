# What the kit puts around the author's file (plugin.py): exceptions become plugin errors with a text, and chance comes
# from the input. `time.time()` and `print()` would trap, for there is no WASI; the first answers from the input, the
# second writes to the log.
import builtins
import random
import time

import plugin
from componentize_py_types import Err
from wit_world import WitWorld as Base
from wit_world.imports import log, types

# The kit writes the function of the plugin's kind wherever `route_call` stands.
FUNCTION = "route_call"
LENGTH = 1000


def _print(*values, sep=" ", **_):
    log.write(log.Level.INFO, sep.join(map(str, values)))


builtins.print = _print


def _failure(value):
    # A failure of the service, such as Failure_Denied(value='http is not granted').
    name = type(value).__name__.removeprefix("Failure_").lower()
    what = getattr(value, "value", None)
    if isinstance(what, tuple):
        return f"{what[0]}: {what[1]}"
    return f"{name}: {what}" if what is not None else name


def _text(error):
    # Not the traceback module: it reads source files, and that traps. The innermost line of the author's own file.
    where, trace = "", error.__traceback__
    while trace:
        code = trace.tb_frame.f_code
        if code.co_filename.endswith("plugin.py"):
            where = f" (line {trace.tb_lineno}, in {code.co_name})"
        trace = trace.tb_next
    if isinstance(error, Err):
        return f"{_failure(error.value)}{where}"
    return f"{type(error).__name__}: {error}{where}"


def _checked(answer):
    # The conversion behind would end in a bare `unreachable`.
    if FUNCTION == "on_event":
        good = answer is None or isinstance(answer, types.TicketDraft)
    else:
        good = isinstance(answer, (types.Decision_Pass, types.Decision_Route, types.Decision_HangUp))
    if not good:
        raise TypeError(f"{FUNCTION} can't return {answer!r}")
    return answer


class WitWorld(Base):
    def route_call(self, given):
        random.seed(given.seed)
        time.time = lambda: given.at / 1000
        try:
            return _checked(plugin.route_call(given))
        except BaseException as error:
            if isinstance(error, Err) and isinstance(error.value, str):
                raise
            raise Err(_text(error)[:LENGTH])
