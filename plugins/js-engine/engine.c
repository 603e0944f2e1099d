// One JavaScript engine for all tenants, as a core module of the world `engine` (engine.wit). A run gets a fresh copy of
// the memory that `wizer-initialize` left behind, so nothing is freed at its end.
//
// QuickJS-ng is included whole: clock and chance are set from the input, and JSON is read and written without its public
// functions, which cost a third of a run.
#include "libc.h"
#undef __wasi__      // QuickJS switches its stack limit off under WASI; there is no WASI here
#define EMSCRIPTEN 1 // no threads, no atomics
#include "quickjs/quickjs.c"

#define EXPORT(name) __attribute__((export_name(name)))

// Of the C stack, which is SHADOW_KIB; deeper recursion is an exception.
#define STACK (STACK_KIB << 10)
// A run is short: reference counts do the work, cycles are looked for from here on.
#define CYCLES (8 << 20)

static JSRuntime *rt;
static JSContext *cx;

#include "json_read.h"
#include "json_write.h"
#include "grants.h"

static const char prelude[] = {
#include "prelude.inc"
};
// What every run gets and gives. Parsed once, their names and shapes are there for all runs.
static const char *const samples[] = {
    "{\"id\":\"\",\"linkedId\":\"\",\"direction\":\"\",\"caller\":{\"number\":\"\",\"name\":\"\"},\"dialled\":\"\","
    "\"language\":\"\",\"at\":0,\"local\":{\"year\":0,\"month\":0,\"day\":0,\"weekday\":0,\"hour\":0,\"minute\":0,"
    "\"second\":0,\"offset\":0},\"seed\":0,\"variables\":[{\"name\":\"\",\"value\":\"\"}]}",
    "{\"id\":\"\",\"kind\":\"\",\"at\":0,\"local\":{\"year\":0},\"key\":\"\",\"sequence\":0,\"seed\":0,\"data\":\"\"}",
    "{\"tag\":\"route\",\"val\":{\"steps\":[{\"target\":{\"tag\":\"queue\",\"val\":\"\"},\"timeout\":0}],"
    "\"reason\":\"\",\"variables\":[]}}",
};
static JSValue kept[sizeof samples / sizeof *samples];

static JSValue with_caller, shown;
static JSValue unhandled; // a rejected promise that nobody waits for, so far

static void must(bool is_fine) {
  if (!is_fine) __builtin_trap();
}

// A plugin is one file.
static JSModuleDef *no_module(JSContext *context, const char *name, void *opaque) {
  (void)opaque;
  JS_ThrowTypeError(context, "'%s' can't be imported: a plugin is one file, and what it is granted is there as global objects",
                    name);
  return NULL;
}

static void rejection(JSContext *context, JSValueConst promise, JSValueConst reason, bool is_handled, void *opaque) {
  (void)reason, (void)opaque;
  if (!is_handled && JS_IsUndefined(unhandled)) unhandled = JS_DupValue(context, promise);
  else if (is_handled && JS_VALUE_GET_PTR(promise) == JS_VALUE_GET_PTR(unhandled)) unhandled = JS_UNDEFINED;
}

// No intrinsics but those of the language itself.
static JSContext *new_context(void) {
  JSContext *context = JS_NewContextRaw(rt);
  must(context && !JS_AddIntrinsicBaseObjects(context) && !JS_AddIntrinsicDate(context) && !JS_AddIntrinsicEval(context) &&
       !JS_AddIntrinsicRegExp(context) && !JS_AddIntrinsicJSON(context) && !JS_AddIntrinsicProxy(context) &&
       !JS_AddIntrinsicMapSet(context) && !JS_AddIntrinsicTypedArrays(context) && !JS_AddIntrinsicPromise(context) &&
       !JS_AddIntrinsicWeakRef(context) && !JS_AddIntrinsicAToB(context));
  return context;
}

EXPORT("wizer-initialize") void initialize(void) {
  must(rt = JS_NewRuntime());
  JS_SetMaxStackSize(rt, STACK);
  JS_SetGCThreshold(rt, CYCLES);
  JS_SetModuleLoaderFunc(rt, NULL, no_module, NULL);
  JS_SetHostPromiseRejectionTracker(rt, rejection, NULL);
  unhandled = JS_UNDEFINED;
  cx = new_context();
  atom_to_json = JS_NewAtom(cx, "toJSON");
  JSValue made = JS_Eval(cx, prelude, sizeof prelude - 1, "<prelude>", JS_EVAL_TYPE_GLOBAL | JS_EVAL_FLAG_STRICT);
  JSValue all = all_grants();
  JSValue parts = JS_Call(cx, made, JS_UNDEFINED, 1, (JSValueConst *)&all);
  must(!JS_IsException(parts));
  class_failure = JS_GetPropertyStr(cx, parts, "Failure");
  with_caller = JS_GetPropertyStr(cx, parts, "withCaller");
  shown = JS_GetPropertyStr(cx, parts, "shown");
  for (size_t i = 0; i < sizeof samples / sizeof *samples; i++) {
    kept[i] = read_json(samples[i], strlen(samples[i]));
    must(!JS_IsException(kept[i]));
  }
  JS_RunGC(rt);
}

EXPORT("cabi_realloc") void *cabi_realloc(void *old, size_t old_size, size_t align, size_t size) {
  (void)old_size, (void)align;
  char *body = realloc(old, size + 1);
  must(body);
  body[size] = 0; // readers of texts want a closing zero
  return body;
}

// result<..., string>: which case, where, how many.
static uint32_t *answer(bool is_error, const void *start, size_t length) {
  static uint32_t result[3];
  result[0] = is_error;
  result[1] = (uint32_t)(uintptr_t)start;
  result[2] = length;
  return result;
}

enum { TEXT = 1000 };

// Cut to a length, not inside a character.
static size_t cut(const char *text, size_t length, size_t most) {
  if (length <= most) return length;
  while (most && (text[most] & 0xc0) == 0x80) most--;
  return most;
}

// The stack without the engine's own frames.
static size_t add_stack(char *text, size_t length, const char *stack) {
  while (*stack && length + 1 < TEXT) {
    const char *end = strchr(stack, '\n');
    size_t line = end ? (size_t)(end - stack) : strlen(stack);
    bool is_ours = memmem(stack, line, "<prelude>", 9) || memmem(stack, line, "(native)", 8);
    if (line && !is_ours) {
      text[length++] = '\n';
      size_t fits = cut(stack, line, TEXT - length);
      memcpy(text + length, stack, fits);
      length += fits;
    }
    stack += line + (end != NULL);
  }
  return length;
}

// The waiting exception in words: "TypeError: text\n    at f (script.js:3:7)".
static uint32_t *failed(void) {
  static char text[TEXT];
  JSValue error = JS_GetException(cx);
  bool is_error = JS_IsError(error);
  // A thrown object is shown as JSON, a thrown text as it is.
  JSValue words = is_error ? JS_ToString(cx, error) : JS_Call(cx, shown, JS_UNDEFINED, 1, (JSValueConst *)&error);
  size_t length = 0;
  const char *what = JS_IsException(words) ? NULL : JS_ToCStringLen(cx, &length, words);
  if (!what) {
    static const char none[] = "an exception that has no text";
    return answer(true, none, sizeof none - 1);
  }
  length = cut(what, length, is_error ? TEXT * 2 / 3 : TEXT);
  memcpy(text, what, length);
  if (is_error) {
    JSValue stack = JS_GetPropertyStr(cx, error, "stack");
    const char *lines = JS_IsString(stack) ? JS_ToCString(cx, stack) : NULL;
    if (lines) length = add_stack(text, length, lines);
  }
  return answer(true, text, length);
}

// A module from its text, not yet run; an exception when it imports another.
static JSValue module_of(const char *source, size_t length) {
  JSValue m = JS_Eval(cx, source, length, "script.js", JS_EVAL_TYPE_MODULE | JS_EVAL_FLAG_COMPILE_ONLY);
  if (JS_IsException(m)) return m;
  JSModuleDef *module = JS_VALUE_GET_PTR(m);
  if (!module->req_module_entries_count) return m;
  const char *name = JS_AtomToCString(cx, module->req_module_entries[0].module_name);
  no_module(cx, name ? name : "?", NULL);
  return JS_EXCEPTION;
}

EXPORT("compile") uint32_t *compile(const char *source, size_t source_length) {
  JS_UpdateStackTop(rt);
  JSValue module = module_of(source, source_length);
  if (JS_IsException(module)) return failed();
  size_t length;
  uint8_t *code = JS_WriteObject(cx, &length, module, JS_WRITE_OBJ_BYTECODE | JS_WRITE_OBJ_STRIP_SOURCE);
  return code ? answer(false, code, length) : failed();
}

EXPORT("exports") uint32_t *exports(const char *source, size_t source_length) {
  JS_UpdateStackTop(rt);
  JSValue m = module_of(source, source_length);
  if (JS_IsException(m)) return failed();
  JSModuleDef *module = JS_VALUE_GET_PTR(m);
  struct { const char *name; size_t length; } *names = malloc(module->export_entries_count * sizeof *names);
  must(names);
  for (int i = 0; i < module->export_entries_count; i++) {
    names[i].name = JS_AtomToCStringLen(cx, &names[i].length, module->export_entries[i].export_name);
    if (!names[i].name) return failed();
  }
  return answer(false, names, module->export_entries_count);
}

// A promise is waited for as long as there is something to do.
static JSValue settle(JSValue value) {
  JSContext *context;
  if (JS_IsException(value) || !JS_IsPromise(value)) return value;
  while (JS_PromiseState(cx, value) == JS_PROMISE_PENDING) {
    int done = JS_ExecutePendingJob(rt, &context);
    if (done < 0) return JS_EXCEPTION;
    if (done == 0) return JS_ThrowTypeError(cx, "a promise never came to an end");
  }
  JSValue result = JS_PromiseResult(cx, value);
  return JS_PromiseState(cx, value) == JS_PROMISE_REJECTED ? JS_Throw(cx, result) : result;
}

// What was begun without `await` is brought to an end too; a rejection that nobody waits for leaves a line in the log.
static void finish(void) {
  JSContext *context;
  while (JS_ExecutePendingJob(rt, &context) > 0) {}
  if (JS_HasException(cx)) JS_FreeValue(cx, JS_GetException(cx));
  if (JS_IsUndefined(unhandled)) return;
  JSValue reason = JS_PromiseResult(cx, unhandled);
  JSValue line = JS_Call(cx, shown, JS_UNDEFINED, 1, (JSValueConst *)&reason);
  const char *text = JS_IsException(line) ? NULL : JS_ToCString(cx, line);
  char words[TEXT];
  snprintf(words, sizeof words, "a promise was rejected and nobody awaited it: %s", text ? text : "?");
  JSValue args[2] = {JS_NewString(cx, "warn"), JS_NewString(cx, words)};
  for (int i = 0; i < GRANTS; i++) {
    if (!strcmp(grants[i].name, "log.write")) JS_FreeValue(cx, grant(cx, JS_UNDEFINED, 2, (JSValueConst *)args, i));
  }
  if (JS_HasException(cx)) JS_FreeValue(cx, JS_GetException(cx));
}

// Straight from the module's list: the namespace object would cost by the number of exports.
static JSValue export_of(JSModuleDef *module, JSAtom name) {
  for (int i = 0; i < module->export_entries_count; i++) {
    JSExportEntry *e = &module->export_entries[i];
    if (e->export_type == JS_EXPORT_TYPE_LOCAL && e->export_name == name && e->u.local.var_ref)
      return JS_DupValue(cx, *e->u.local.var_ref->pvalue);
  }
  return JS_UNDEFINED;
}

// Clock and chance of this run. Neighbouring seeds must not begin alike (the mixing is SplitMix64's).
static void set_input(uint64_t at, uint64_t seed) {
  input_now_ms = at;
  uint64_t z = seed + 0x9e3779b97f4a7c15;
  z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
  z = (z ^ z >> 27) * 0x94d049bb133111eb;
  z ^= z >> 31;
  cx->random_state = z ? z : 1;
}

// The module, evaluated: NULL where an exception waits.
static JSModuleDef *evaluated(const char *code, size_t length, bool is_compiled) {
  JSValue m = is_compiled ? JS_ReadObject(cx, (const uint8_t *)code, length, JS_READ_OBJ_BYTECODE) : module_of(code, length);
  if (JS_IsException(m)) return NULL;
  if (JS_VALUE_GET_TAG(m) != JS_TAG_MODULE) {
    JS_ThrowTypeError(cx, "this is no byte code of a module");
    return NULL;
  }
  if (is_compiled && JS_ResolveModule(cx, m) < 0) return NULL;
  JSModuleDef *module = JS_VALUE_GET_PTR(m);
  return JS_IsException(settle(JS_EvalFunction(cx, m))) ? NULL : module;
}

static bool is_call_script(const char *function, size_t length) {
  return length == 10 && !memcmp(function, "handleCall", 10);
}

EXPORT("run")
uint32_t *run(const char *code, size_t code_length, int is_compiled, const char *function, size_t function_length,
              const char *input, size_t input_length, uint64_t at, uint64_t seed) {
  JS_UpdateStackTop(rt);
  set_input(at, seed);
  if (is_call_script(function, function_length) && JS_IsException(JS_Call(cx, with_caller, JS_UNDEFINED, 0, NULL)))
    return failed();
  JSModuleDef *module = evaluated(code, code_length, is_compiled);
  if (!module) return failed();
  JSValue f = export_of(module, JS_NewAtomLen(cx, function, function_length));
  if (!JS_IsFunction(cx, f)) {
    JS_ThrowTypeError(cx, "the script exports no function %.*s", (int)function_length, function);
    return failed();
  }
  JSValue argument = read_json(input, input_length);
  if (JS_IsException(argument)) return failed();
  JSValue result = settle(JS_Call(cx, f, JS_UNDEFINED, 1, (JSValueConst *)&argument));
  if (JS_IsException(result)) return failed();
  finish();
  out_length = 0;
  if (!write_json(result)) return failed();
  return answer(false, out, out_length);
}
