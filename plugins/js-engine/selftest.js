// Run by the new engine itself, before it is kept. Each function returns a list of what is wrong.
// The test's host answers `kv.get(text)` with the text as JSON, `kv.set(key)` with the arguments as it got them, and
// `kv.delete(text)` with the text as a failure.

const same = (a, b) => {
  if (Object.is(a, b)) return true;
  if (typeof a !== 'object' || typeof b !== 'object' || a === null || b === null) return false;
  if (Array.isArray(a) !== Array.isArray(b) || Object.getPrototypeOf(a) !== Object.getPrototypeOf(b)) return false;
  const [names, others] = [Reflect.ownKeys(a), Reflect.ownKeys(b)];
  return names.length === others.length && names.every((name, i) => name === others[i] && same(
    Object.getOwnPropertyDescriptor(a, name).value,
    Object.getOwnPropertyDescriptor(b, name).value,
  ));
};

const outcome = (f) => {
  try {
    return { value: f() };
  } catch (error) {
    return { error: error.name };
  }
};

const texts = [
  '0', '-0', '1', '-1', '123456789012345', '1234567890123456', '9007199254740991', '9007199254740993',
  '-9007199254740993', '18446744073709551615', '1e3', '1E+3', '1e-7', '1.5', '-0.0', '0.1', '1e400', '-1e400', '5e-324',
  '01', '-', '+1', '1.', '.5', '1e', '0x10', '--1', '1-1', 'NaN', 'Infinity', '00', '-01', '1 2',
  '""', '"a"', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"', '"\\ud83d\\ude00"', '"Grüße"', '"😀"', '"\u2028"', '"\\n\\t\\"\\\\\\/\\b\\f\\r"',
  '"\\x"', '"\\u12"', '"', '"a', '"\n"', '"\u0000"', '"a\\', "'a'",
  'true', 'false', 'null', 'tru', 'nul', 'undefined', 'True', 'truefalse',
  '{}', '[]', '[ ]', '{ }', '[1,]', '[,1]', '[1 2]', '[', ']', '{', '}', '{"a"}', '{"a":}', '{"a":1,}', '{a:1}', '{"a":1 "b":2}', '[1}', '{"a":1]',
  '{"a":1,"a":2,"b":3}', '{"__proto__":{"x":1},"y":2}', '{"__proto__":1}', '{"constructor":1,"toString":2}',
  '{"2":1,"1":2,"b":3,"a":4,"01":5}', '{"":1}', '{"\\u0061":1,"a":2}', '{"Ä":1}', '{"\\ud800":1}', '{"toJSON":1}', '{"length":1}',
  ' \n\t\r[1 , 2 ]\n', '\u00a0 1', '\ufeff1', '1\u0000', '[1]\u0000', '[1]]', '[1] x', '', ' ',
  '[[[[[[[[[[1]]]]]]]]]]', '{"a":{"b":{"c":[{"d":null}]}}}', '[1,"a",null,true,{"x":[]}]',
];

/** Reading: as JSON.parse does. */
export function reading() {
  const wrong = [];
  for (const text of texts) {
    // An empty text of the host's means nothing at all.
    if (text === '') continue;
    const [ours, theirs] = [outcome(() => kv.get(text)), outcome(() => JSON.parse(text))];
    if (!same(ours, theirs)) wrong.push(`${JSON.stringify(text)}: ${JSON.stringify([ours, theirs])}`);
  }
  return wrong;
}

const letters = ['', 'a', 'b', '1', '07', '__proto__', 'toJSON', 'ä', '😀', '\ud800', '\u0000', '"', '\\', '\u2028', 'x'.repeat(40)];
const pick = (list) => list[Math.floor(Math.random() * list.length)];
const numbers = [0, -0, 1, -1, 2 ** 31, -(2 ** 31), 2 ** 53, 2 ** 53 - 1, -(2 ** 53), 1.5, 1e21, 1e-7, NaN, Infinity, 5e-324, 123456789.125];
const string = () => pick(letters) + pick(letters) + pick(letters);

function anything(depth) {
  const kind = Math.floor(Math.random() * (depth > 4 ? 5 : 8));
  switch (kind) {
    case 0: return pick(numbers);
    case 1: return Math.floor((Math.random() - 0.5) * 1e6);
    case 2: return string();
    case 3: return pick([true, false, null, undefined, () => 1, Symbol('s')]);
    case 4: return Math.random() * 1e9;
    case 5: return Array.from({ length: Math.floor(Math.random() * 5) }, () => anything(depth + 1));
    case 6: {
      const object = Math.random() < 0.1 ? Object.create(null) : {};
      for (let i = Math.floor(Math.random() * 5); i > 0; i--) {
        Object.defineProperty(object, string(), { value: anything(depth + 1), enumerable: true, writable: true, configurable: true });
      }
      return object;
    }
    default: return pick([
      new Date(5), new Map(), [, 1], Object.freeze({ a: 1 }), { get x() { return 1; } }, { toJSON: () => 'own' },
      new Proxy({ p: 1 }, {}), Object(1), Object('s'), new (class A { x = 1; })(), { [Symbol('s')]: 1, y: 2 },
      Object.defineProperty({ v: 1 }, 'h', { value: 1 }), new Uint8Array(2), 'x'.repeat(3000) + string(), /r/, new Error('e'),
    ]);
  }
}

/** Writing: as JSON.stringify does. */
export function writing() {
  const wrong = [];
  for (let i = 0; i < 3000; i++) {
    const value = anything(0);
    const [ours, theirs] = [
      outcome(() => kv.set(value)),
      outcome(() => JSON.stringify([value === undefined || typeof value === 'symbol' || typeof value === 'function' ? null : value, null, null])),
    ];
    if (!same(ours, theirs)) wrong.push(JSON.stringify([ours, theirs]));
    if (wrong.length > 3) break;
  }
  return wrong;
}

/** What was written is read as the same, and texts with one character changed fail or not as with JSON.parse. */
export function thereAndBack() {
  const wrong = [];
  const odd = ['"', '\\', '{', '}', '[', ']', ',', ':', '0', '-', '.', 'e', ' ', 'u', '\u0000', 'ä', '\ud83d'];
  for (let i = 0; i < 3000; i++) {
    let text;
    try {
      text = JSON.stringify(anything(0)) ?? 'null';
    } catch {
      continue;
    }
    if (Math.random() < 0.7) {
      const at = Math.floor(Math.random() * text.length);
      text = text.slice(0, at) + pick(odd) + text.slice(at + Math.floor(Math.random() * 2));
    }
    // Half a pair can't travel as UTF-8.
    text = text.toWellFormed();
    const [ours, theirs] = [outcome(() => kv.get(text)), outcome(() => JSON.parse(text))];
    if (!same(ours, theirs)) wrong.push(`${JSON.stringify(text)}: ${JSON.stringify([ours, theirs])}`);
    if (wrong.length > 3) break;
  }
  return wrong;
}

/** A prototype with a toJSON is asked, as JSON.stringify asks it; and it may ask the host meanwhile. */
export function ownToJson() {
  const wrong = [];
  Object.prototype.toJSON = function () { return kv.set(1) + this.a; };
  const answer = kv.set({ a: 2 }, { a: 3 });
  delete Object.prototype.toJSON;
  if (answer !== '["[1,null,null]2","[1,null,null]3",null]') wrong.push(answer);
  return wrong;
}

/** Too deep is an exception, in both directions. */
export function depth() {
  const wrong = [];
  let value = 1;
  for (let i = 0; i < 5000; i++) value = [value];
  for (const f of [() => kv.set(value), () => kv.get('['.repeat(5000)), () => kv.get('{"a":'.repeat(5000))]) {
    const { error } = outcome(f);
    if (error !== 'RangeError') wrong.push(String(error));
  }
  return wrong;
}

/** Failures of the host are exceptions with a tag. */
export function failures() {
  const wrong = [];
  const cases = [
    ['{"tag":"denied","val":"no kv"}', 'denied', 'no kv', 'Failure: denied: no kv'],
    ['{"tag":"not-found"}', 'not-found', null, 'Failure: not-found'],
    ['{"tag":"other","val":["db","down"]}', 'other', ['db', 'down'], 'Failure: db: down'],
  ];
  for (const [text, tag, val, words] of cases) {
    try {
      kv.delete(text);
      wrong.push(`${text} is no exception`);
    } catch (error) {
      const fine = error instanceof Failure && error instanceof Error && error.tag === tag && same(error.val, val) && String(error) === words;
      if (!fine) wrong.push(`${error} ${JSON.stringify(error)}`);
    }
  }
  return wrong;
}

/** Missing arguments are null, and nobody gets more than were asked for. */
export function parameters() {
  const wrong = [];
  if (kv.set() !== '[null,null,null]') wrong.push(kv.set());
  if (kv.set('a', 'b', 3, 4) !== '["a","b",3]') wrong.push(kv.set('a', 'b', 3, 4));
  if (http.send({ url: 'https://a', headers: undefined }) !== '[{"url":"https://a"}]') wrong.push('http');
  return wrong;
}

/** Clock and chance are those of the input; what is not there is not there. */
export function world() {
  const wrong = [];
  if (Date.now() !== 1773325200000 || new Date().toISOString() !== '2026-03-12T14:20:00.000Z') wrong.push(Date.now());
  const first = Math.random();
  if (!(first >= 0 && first < 1) || first === Math.random()) wrong.push('chance');
  for (const name of ['callControl', 'answer', 'fetch', 'setTimeout', 'process', 'require', 'performance', 'std', 'os']) {
    if (name in globalThis) wrong.push(name);
  }
  if (globalThis.seen) wrong.push('the last run is still there');
  globalThis.seen = true;
  if (Object.keys(globalThis).length) Object.keys(globalThis).forEach((name) => name !== 'seen' && wrong.push(name));
  return wrong;
}

// A module may wait before it is ready.
const ready = await Promise.resolve(5);

/** The language is all there. */
export async function language() {
  const wrong = [];
  const is = (name, f) => {
    try {
      if (!f()) wrong.push(name);
    } catch (error) {
      wrong.push(`${name}: ${error}`);
    }
  };
  is('class', () => { class A { #x = 1; static s = 2; get x() { return this.#x + A.s; } } return new A().x === 3; });
  is('destructuring', () => { const { a, ...o } = { a: 1, b: 2 }; const [x, , y = 5] = [1, 2]; return a + o.b + x + y === 9; });
  is('maps', () => new Map([[1, 2]]).get(1) + new Set([1, 1]).size === 3);
  is('groups', () => 'tel +49 30 123'.replace(/(?<cc>\+\d+)\s(?<=\s)(\d+)/u, '$<cc>-$2') === 'tel +49-30 123');
  is('unicode', () => /\p{Lu}/v.test('Ä') && 'É'.normalize('NFD').length === 2);
  is('dates', () => Date.parse('2026-05-28T20:26:40Z') === 1780000000000 && new Date(2026, 4, 28, 20).getUTCHours() === 20);
  is('generators', () => [...(function* () { yield* [1, 2]; })()].length === 2);
  is('bigints', () => (2n ** 64n).toString() === '18446744073709551616');
  is('sorting', () => [3, 1, 2].toSorted().join('') === '123' && Object.groupBy([1, 2], (x) => x % 2)[1].length === 1);
  is('proxies', () => new Proxy({}, { get: () => 4 }).z === 4);
  is('typed arrays', () => new Uint8Array([1, 300])[1] === 44);
  is('finally', () => { let n = 0; try { null.x; } catch { n += 1; } finally { n += 2; } return n === 3; });
  is('base64', () => atob(btoa('hello')) === 'hello');
  is('waiting module', () => ready === 5);
  const parts = await Promise.all([1, Promise.resolve(2)]);
  let sum = 0;
  for await (const part of parts) sum += part;
  if (sum !== 3) wrong.push('await');
  return wrong;
}

/** Lines reach the log in the order they were written. */
export function lines() {
  console.log('a', 1, { b: [2] });
  log.warn(5);
  log.write('debug', 'd');
  return [];
}
