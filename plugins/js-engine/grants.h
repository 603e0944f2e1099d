// The functions that a script may call, each with its number of parameters: one native function serves them all.

static const struct { const char *name; int parameters; } grants[] = {
    {"settings.get", 1},      {"settings.getList", 1},
    {"kv.get", 1},            {"kv.set", 3},
    {"kv.delete", 1},         {"kv.increment", 3},
    {"contacts.byNumber", 1}, {"http.send", 1},
    {"tickets.openFor", 1},   {"tickets.comment", 2},
    {"log.write", 2},         {"callControl.answer", 0},
    {"callControl.play", 2},  {"callControl.say", 1},
    {"callControl.gather", 1},{"callControl.record", 3},
    {"callControl.dial", 2},  {"callControl.getVariable", 1},
    {"callControl.setVariable", 2}, {"callControl.now", 0},
};
enum { GRANTS = sizeof grants / sizeof *grants };

__attribute__((import_module("hookswitch:js/host@1.0.0"), import_name("call")))
extern void host_call(const char *name, size_t name_length, const char *args, size_t args_length, uint32_t *answer);

static JSValue class_failure;

// The host's failure, which comes as JSON text, as an exception.
static JSValue throw_failure(const char *text, size_t length) {
  JSValue failure = read_json(text, length);
  if (JS_IsException(failure)) {
    JS_FreeValue(cx, JS_GetException(cx));
    return JS_ThrowInternalError(cx, "%.*s", (int)(length < 200 ? length : 200), text);
  }
  JSValue parts[2] = {JS_GetPropertyStr(cx, failure, "tag"), JS_GetPropertyStr(cx, failure, "val")};
  JSValue error = JS_CallConstructor(cx, class_failure, 2, (JSValueConst *)parts);
  JS_FreeValue(cx, parts[0]);
  JS_FreeValue(cx, parts[1]);
  JS_FreeValue(cx, failure);
  return JS_IsException(error) ? error : JS_Throw(cx, error);
}

// Asks with the arguments that were written from `from` on.
static JSValue ask_host(int which, size_t from) {
  uint32_t answer[3];
  host_call(grants[which].name, strlen(grants[which].name), out + from, out_length - from, answer);
  char *text = (char *)(uintptr_t)answer[1];
  size_t length = answer[2];
  JSValue value = (answer[0] & 0xff) ? throw_failure(text, length)
                  : length          ? read_json(text, length)
                                    : JS_UNDEFINED;
  if (length) free(text);
  return value;
}

static JSValue grant(JSContext *context, JSValueConst self, int argc, JSValueConst *argv, int which) {
  (void)context, (void)self;
  // A toJSON of the script's may call the host while arguments are written: the inner ones go behind the outer ones.
  size_t from = out_length;
  bool is_written = put_text("[", 1) == WRITTEN;
  for (int i = 0; i < grants[which].parameters && is_written; i++) {
    is_written = (!i || put_text(",", 1) == WRITTEN) && write_json(i < argc ? argv[i] : JS_UNDEFINED);
  }
  is_written = is_written && put_text("]", 1) == WRITTEN;
  JSValue answer = is_written ? ask_host(which, from) : JS_EXCEPTION;
  out_length = from;
  return answer;
}

// {settings: {get, getList}, kv: {...}, ...}
static JSValue all_grants(void) {
  JSValue all = JS_NewObject(cx);
  for (int i = 0; i < GRANTS; i++) {
    const char *dot = strchr(grants[i].name, '.');
    char interface[32] = {0};
    memcpy(interface, grants[i].name, dot - grants[i].name);
    JSValue members = JS_GetPropertyStr(cx, all, interface);
    if (JS_IsUndefined(members)) {
      members = JS_NewObject(cx);
      JS_SetPropertyStr(cx, all, interface, JS_DupValue(cx, members));
    }
    JSValue f = JS_NewCFunctionMagic(cx, grant, dot + 1, grants[i].parameters, JS_CFUNC_generic_magic, i);
    JS_SetPropertyStr(cx, members, dot + 1, f);
    JS_FreeValue(cx, members);
  }
  return all;
}
