// Values into JSON texts for the host: the same as JSON.stringify on plain objects, arrays, texts and numbers. Whatever
// could run a script's own code on the way (getters, proxies, toJSON) is left to JSON.stringify.

typedef enum { WRITTEN, LEFT, FAILED } Written;

static char first_room[16 << 10];
static char *out = first_room;
static size_t out_length, out_room = sizeof first_room;
static JSAtom atom_to_json;

static bool room(size_t more) {
  if (out_length + more <= out_room) return true;
  size_t want = (out_length + more) * 2;
  char *larger = malloc(want);
  if (!larger) {
    JS_ThrowOutOfMemory(cx);
    return false;
  }
  memcpy(larger, out, out_length);
  if (out != first_room) free(out);
  out = larger;
  out_room = want;
  return true;
}

static void put(char c) { out[out_length++] = c; }

static Written put_text(const char *text, size_t length) {
  if (!room(length)) return FAILED;
  memcpy(out + out_length, text, length);
  out_length += length;
  return WRITTEN;
}

static void put_escape(unsigned c) {
  static const char hex[] = "0123456789abcdef";
  static const char letters[] = "btn?fr";
  put('\\');
  if (c == '"' || c == '\\') {
    put(c);
  } else if (c >= 8 && c <= 13 && c != 11) {
    put(letters[c - 8]);
  } else {
    put('u');
    for (int shift = 12; shift >= 0; shift -= 4) put(hex[c >> shift & 15]);
  }
}

// As UTF-8.
static void put_rune(uint32_t c) {
  if (c < 0x80) {
    put(c);
    return;
  }
  if (c < 0x800) {
    put(0xc0 | c >> 6);
  } else {
    if (c < 0x10000) {
      put(0xe0 | c >> 12);
    } else {
      put(0xf0 | c >> 18);
      put(0x80 | (c >> 12 & 63));
    }
    put(0x80 | (c >> 6 & 63));
  }
  put(0x80 | (c & 63));
}

static Written put_string(JSString *s) {
  if (!room((size_t)s->len * 6 + 2)) return FAILED;
  put('"');
  for (uint32_t i = 0; i < s->len; i++) {
    uint32_t c = s->is_wide_char ? str16(s)[i] : str8(s)[i];
    if (c < 32 || c == '"' || c == '\\') {
      put_escape(c);
    } else if (c >= 0xd800 && c < 0xe000) {
      uint32_t next = c < 0xdc00 && i + 1 < s->len ? str16(s)[i + 1] : 0;
      if (next >= 0xdc00 && next < 0xe000) {
        put_rune(0x10000 + ((c - 0xd800) << 10) + (next - 0xdc00));
        i++;
      } else {
        put_escape(c); // half of a pair, alone
      }
    } else {
      put_rune(c);
    }
  }
  put('"');
  return WRITTEN;
}

static Written put_rope(JSValueConst v) {
  JSValue whole = js_linearize_string_rope(cx, js_dup(v));
  if (JS_IsException(whole)) return FAILED;
  Written done = put_string(JS_VALUE_GET_STRING(whole));
  JS_FreeValue(cx, whole);
  return done;
}

static Written put_integer(int64_t n) {
  char digits[24];
  int at = sizeof digits;
  uint64_t rest = n < 0 ? -(uint64_t)n : (uint64_t)n;
  do digits[--at] = '0' + rest % 10;
  while (rest /= 10);
  if (n < 0) digits[--at] = '-';
  return put_text(digits + at, sizeof digits - at);
}

static Written put_number(JSValueConst v) {
  double d = JS_VALUE_GET_FLOAT64(v);
  if (!isfinite(d)) return put_text("null", 4);
  if (d == (double)(int64_t)d && fabs(d) < 9007199254740992.0) return put_integer((int64_t)d);
  size_t length;
  const char *text = JS_ToCStringLen(cx, &length, v);
  if (!text) return FAILED;
  Written done = put_text(text, length);
  JS_FreeCString(cx, text);
  return done;
}

static Written put_value(JSValueConst v, int depth);

static bool has_proto(JSObject *o, int class_id) {
  return o->shape->proto == JS_VALUE_GET_OBJ(cx->class_proto[class_id]);
}

// No JSON knows these: null in an array, nothing in an object.
static bool is_nothing(JSValueConst v) { return JS_IsUndefined(v) || JS_IsSymbol(v) || JS_IsFunction(cx, v); }

static Written put_array(JSObject *o, int depth) {
  if (!room(2)) return FAILED;
  put('[');
  for (uint32_t i = 0; i < o->u.array.count; i++) {
    if (!room(2)) return FAILED;
    if (i) put(',');
    JSValueConst v = o->u.array.u.values[i];
    Written done = is_nothing(v) ? put_text("null", 4) : put_value(v, depth + 1);
    if (done != WRITTEN) return done;
  }
  return put_text("]", 1);
}

static Written put_object(JSObject *o, int depth) {
  JSShape *shape = o->shape;
  JSShapeProperty *properties = get_shape_prop(shape);
  bool is_first = true;
  if (put_text("{", 1) != WRITTEN) return FAILED;
  for (int i = 0; i < shape->prop_count; i++) {
    JSShapeProperty *p = &properties[i];
    // Numbers as names come first in JSON.stringify, whenever they were set.
    if (p->atom == JS_ATOM_NULL || (p->flags & JS_PROP_TMASK) || __JS_AtomIsTaggedInt(p->atom)) return LEFT;
    JSAtomStruct *name = rt->atom_array[p->atom];
    if (name->atom_type != JS_ATOM_TYPE_STRING) continue; // symbols
    if (!(p->flags & JS_PROP_ENUMERABLE) || p->atom == atom_to_json) return LEFT;
    JSValueConst v = o->prop[i].u.value;
    if (is_nothing(v)) continue;
    if (!is_first && put_text(",", 1) != WRITTEN) return FAILED;
    is_first = false;
    if (put_string(name) != WRITTEN || put_text(":", 1) != WRITTEN) return FAILED;
    Written done = put_value(v, depth + 1);
    if (done != WRITTEN) return done;
  }
  return put_text("}", 1);
}

static Written put_value(JSValueConst v, int depth) {
  switch (JS_VALUE_GET_NORM_TAG(v)) {
  case JS_TAG_INT: return put_integer(JS_VALUE_GET_INT(v));
  case JS_TAG_FLOAT64: return put_number(v);
  case JS_TAG_BOOL: return JS_VALUE_GET_BOOL(v) ? put_text("true", 4) : put_text("false", 5);
  case JS_TAG_NULL: return put_text("null", 4);
  case JS_TAG_STRING: return put_string(JS_VALUE_GET_STRING(v));
  case JS_TAG_STRING_ROPE: return put_rope(v);
  case JS_TAG_OBJECT: break;
  default: return LEFT;
  }
  if (depth > DEPTH) {
    JS_ThrowRangeError(cx, "the value is nested more than %d deep, or contains itself", DEPTH);
    return FAILED;
  }
  JSObject *o = JS_VALUE_GET_OBJ(v);
  if (o->class_id == JS_CLASS_ARRAY && o->fast_array && o->shape->prop_count == 1 && has_proto(o, JS_CLASS_ARRAY))
    return put_array(o, depth);
  if (o->class_id == JS_CLASS_OBJECT && has_proto(o, JS_CLASS_OBJECT)) return put_object(o, depth);
  return LEFT;
}

static bool is_plain_world(void) {
  JSProperty *p;
  return !find_own_property(&p, JS_VALUE_GET_OBJ(cx->class_proto[JS_CLASS_OBJECT]), atom_to_json) &&
         !find_own_property(&p, JS_VALUE_GET_OBJ(cx->class_proto[JS_CLASS_ARRAY]), atom_to_json);
}

// Puts a value behind what is there; undefined becomes null. False: an exception waits.
static bool write_json(JSValueConst v) {
  size_t before = out_length;
  Written done = is_nothing(v) ? put_text("null", 4) : is_plain_world() ? put_value(v, 0) : LEFT;
  if (done != LEFT) return done == WRITTEN;
  out_length = before;
  JSValue text = JS_JSONStringify(cx, v, JS_UNDEFINED, JS_UNDEFINED);
  if (JS_IsException(text)) return false;
  size_t length = 4;
  const char *s = JS_IsUndefined(text) ? "null" : JS_ToCStringLen(cx, &length, text);
  done = s ? put_text(s, length) : FAILED;
  if (s && !JS_IsUndefined(text)) JS_FreeCString(cx, s);
  JS_FreeValue(cx, text);
  return done == WRITTEN;
}
