// JSON texts of the host into values: the same as JSON.parse, several times as fast on what the host writes. Strings
// with escapes or outside ASCII, and numbers that are no short integers, are left to JSON.parse itself.

enum { DEPTH = 100 };

static const char *text_end;

static JSValue read_value(const char **at, int depth);

static void blank(const char **at) {
  while (**at == ' ' || **at == '\n' || **at == '\t' || **at == '\r') ++*at;
}

static JSValue malformed(void) { return JS_ThrowSyntaxError(cx, "malformed JSON"); }

// A part of the text by JSON.parse, which wants a zero behind it.
static JSValue read_slowly(const char *from, const char *to) {
  char *copy = malloc(to - from + 1);
  if (!copy) return JS_ThrowOutOfMemory(cx);
  memcpy(copy, from, to - from);
  copy[to - from] = 0;
  JSValue value = JS_ParseJSON(cx, copy, to - from, "<host>");
  free(copy);
  return value;
}

// Where the string that begins at p ends: its closing quote. Plain: its bytes can be taken as they are.
static const char *string_end(const char *p, bool *plain) {
  *plain = true;
  for (p++; p < text_end; p++) {
    unsigned char c = *p;
    if (c == '"') return p;
    if (c < 32) return NULL;
    if (c >= 128) *plain = false;
    if (c == '\\') {
      *plain = false;
      p++;
    }
  }
  return NULL;
}

static JSValue read_string(const char **at) {
  bool plain;
  const char *p = *at, *e = string_end(p, &plain);
  if (!e) return malformed();
  *at = e + 1;
  return plain ? js_new_string8_len(cx, p + 1, e - p - 1) : read_slowly(p, e + 1);
}

static JSAtom read_name(const char **at) {
  bool plain;
  const char *p = *at, *e = *p == '"' ? string_end(p, &plain) : NULL;
  if (!e) {
    malformed();
    return JS_ATOM_NULL;
  }
  *at = e + 1;
  if (plain) return JS_NewAtomLen(cx, p + 1, e - p - 1);
  JSValue name = read_slowly(p, e + 1);
  if (JS_IsException(name)) return JS_ATOM_NULL;
  JSAtom atom = JS_ValueToAtom(cx, name);
  JS_FreeValue(cx, name);
  return atom;
}

// One `"name": value`. The name becomes a property of the object's own, whatever its prototype makes of it.
static bool read_member(const char **at, JSObject *object, int depth) {
  JSAtom name = read_name(at);
  if (name == JS_ATOM_NULL) return false;
  JSValue value = JS_EXCEPTION;
  blank(at);
  if (**at == ':') {
    ++*at;
    value = read_value(at, depth + 1);
  } else {
    malformed();
  }
  JSProperty *property = NULL;
  if (!JS_IsException(value)) {
    if (find_own_property(&property, object, name)) {
      JS_FreeValue(cx, property->u.value); // the last of the same name counts
      property->u.value = value;
    } else if ((property = add_property(cx, object, name, JS_PROP_C_W_E))) {
      property->u.value = value;
    } else {
      JS_FreeValue(cx, value);
    }
  }
  JS_FreeAtom(cx, name);
  return property != NULL;
}

static JSValue read_object(const char **at, int depth) {
  JSValue object = JS_NewObject(cx);
  if (JS_IsException(object)) return object;
  ++*at;
  blank(at);
  if (**at == '}') {
    ++*at;
    return object;
  }
  while (read_member(at, JS_VALUE_GET_OBJ(object), depth)) {
    blank(at);
    char c = **at;
    if (c != ',' && c != '}') {
      malformed();
      break;
    }
    ++*at;
    if (c == '}') return object;
    blank(at);
  }
  JS_FreeValue(cx, object);
  return JS_EXCEPTION;
}

static JSValue read_array(const char **at, int depth) {
  JSValue array = JS_NewArray(cx);
  if (JS_IsException(array)) return array;
  ++*at;
  blank(at);
  if (**at == ']') {
    ++*at;
    return array;
  }
  for (uint32_t i = 0;; i++) {
    JSValue value = read_value(at, depth + 1);
    if (JS_IsException(value) || JS_DefinePropertyValueUint32(cx, array, i, value, JS_PROP_C_W_E) < 0) break;
    blank(at);
    char c = **at;
    if (c != ',' && c != ']') {
      malformed();
      break;
    }
    ++*at;
    if (c == ']') return array;
  }
  JS_FreeValue(cx, array);
  return JS_EXCEPTION;
}

static JSValue read_number(const char **at) {
  const char *from = *at, *p = from + (*from == '-'), *digits = p;
  int64_t n = 0;
  while (is_digit(*p) && p - digits < 15) n = n * 10 + (*p++ - '0');
  bool has_more = is_digit(*p) || *p == '.' || *p == 'e' || *p == 'E';
  if (!has_more && p > digits && (*digits != '0' || p - digits == 1) && !(*from == '-' && n == 0)) {
    *at = p;
    return js_int64(*from == '-' ? -n : n);
  }
  while (is_digit(*p) || *p == '.' || *p == 'e' || *p == 'E' || *p == '+' || *p == '-') p++;
  if (p == from) return malformed();
  *at = p;
  return read_slowly(from, p);
}

static bool word(const char **at, const char *expected, size_t length) {
  if ((size_t)(text_end - *at) < length || memcmp(*at, expected, length)) return false;
  *at += length;
  return true;
}

static JSValue read_value(const char **at, int depth) {
  if (depth > DEPTH) return JS_ThrowRangeError(cx, "JSON is nested more than %d deep", DEPTH);
  blank(at);
  switch (**at) {
  case '{': return read_object(at, depth);
  case '[': return read_array(at, depth);
  case '"': return read_string(at);
  case 't': return word(at, "true", 4) ? JS_TRUE : malformed();
  case 'f': return word(at, "false", 5) ? JS_FALSE : malformed();
  case 'n': return word(at, "null", 4) ? JS_NULL : malformed();
  default: return read_number(at);
  }
}

// A whole text. Behind it must be a zero, as `cabi_realloc` puts one.
static JSValue read_json(const char *text, size_t length) {
  text_end = text + length;
  const char *at = text;
  JSValue value = read_value(&at, 0);
  if (JS_IsException(value)) return value;
  blank(&at);
  if (at == text_end) return value;
  JS_FreeValue(cx, value);
  return malformed();
}
