// What the kit puts around an author's file when it makes a component of JavaScript. The file sees the same as when it
// is uploaded as text: the granted interfaces as global objects, options as null, numbers as numbers, failures as
// exceptions of the class Failure. Without it an exception would be a bare `unreachable`, and clock and chance would be
// those of the build.
import { grants } from './grants.js';

class Failure extends Error {
  constructor(tag, val) {
    super(Array.isArray(val) ? `${val[0]}: ${val[1]}` : val == null ? tag : `${tag}: ${val}`);
    this.tag = tag;
    this.val = val ?? null;
  }
}
Object.defineProperty(Failure.prototype, 'name', { value: 'Failure', writable: true, configurable: true });

// From the service: numbers of 64 bits are bigints there, and a missing option is undefined.
function read(value) {
  if (typeof value === 'bigint') return Number(value);
  if (value === undefined) return null;
  if (Array.isArray(value)) return value.map(read);
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, read(part)]));
  }
  return value;
}

const prompts = (list) =>
  Array.from(list, ({ tag, val }) => ({ tag, val: tag === 'number' || tag === 'moment' ? BigInt(val) : val }));

// What has to become a bigint or a list on its way to the service.
const write = {
  'kv.increment': ([key, by, ttl]) => [key, BigInt(by), ttl],
  'http.send': ([request]) => [{ ...request, headers: request.headers ?? [] }],
  'callControl.play': ([list, keys]) => [prompts(list), keys ?? ''],
  'callControl.say': ([list]) => [prompts(list)],
  'callControl.gather': ([options]) => [
    { ...options, prompts: prompts(options.prompts ?? []), terminators: options.terminators ?? '' },
  ],
};

function call(name, f) {
  const change = write[name] ?? ((args) => args);
  return (...args) => {
    try {
      return read(f(...change(args)));
    } catch (error) {
      const failure = error?.payload;
      throw failure?.tag === undefined ? error : new Failure(failure.tag, read(failure.val));
    }
  };
}

const denied = (name) => () => {
  throw new Failure('denied', `${name} is not granted: ask for it in plugin.toml`);
};
const functions = {
  kv: ['get', 'set', 'delete', 'increment'],
  contacts: ['byNumber'],
  http: ['send'],
  tickets: ['openFor', 'comment'],
};

globalThis.Failure = Failure;
for (const [name, members] of Object.entries(functions)) {
  if (!grants[name]) globalThis[name] = Object.fromEntries(members.map((member) => [member, denied(name)]));
}
for (const [name, members] of Object.entries(grants)) {
  globalThis[name] = Object.fromEntries(
    Object.entries(members).map(([member, f]) => [member, call(`${name}.${member}`, f)]),
  );
}
if (grants.callControl) Object.assign(globalThis, globalThis.callControl);

for (const level of ['debug', 'info', 'warn', 'error']) {
  globalThis.log[level] = (message) => globalThis.log.write(level, String(message));
}
const shown = (value) => {
  if (typeof value === 'string') return value;
  if (value instanceof Error) return `${value}\n${value.stack}`;
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
};
const line = (level) => (...values) => globalThis.log.write(level, values.map(shown).join(' '));
globalThis.console = {
  debug: line('debug'), log: line('info'), info: line('info'), warn: line('warn'), error: line('error'),
};

// Clock and chance of this run.
const RealDate = Date;
function prepare(at, seed) {
  globalThis.Date = class Date extends RealDate {
    constructor(...parts) {
      if (parts.length) super(...parts);
      else super(at);
    }
    static now() {
      return at;
    }
  };
  let state = Number(BigInt.asUintN(32, seed ^ (seed >> 32n)));
  Math.random = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}

// What is wrong with an answer's shape has a text here; the conversion behind would end in a bare `unreachable`.
const decisions = ['pass', 'route', 'hang-up'];
const targets = ['queue', 'endpoint', 'ivr', 'script', 'external', 'voicemail', 'playback'];
function check(is, what, value) {
  if (!is) throw new TypeError(`${what} can't be ${shown(value)}`);
}
function decision(answer) {
  check(decisions.includes(answer?.tag), `a decision has the tag ${decisions.join(', ')}; it`, answer);
  if (answer.tag === 'hang-up') check(typeof answer.val?.cause === 'string', 'val.cause of a hang-up', answer.val?.cause);
  if (answer.tag !== 'route') return answer;
  check(Array.isArray(answer.val?.steps), 'val.steps of a route', answer.val?.steps);
  for (const step of answer.val.steps) {
    check(targets.includes(step?.target?.tag), `a target has the tag ${targets.join(', ')}; it`, step?.target);
    check(typeof step.target.val === 'string', `val of the target ${step.target.tag}`, step.target.val);
  }
  // An author may leave out what is empty.
  answer.val.variables ??= [];
  return answer;
}
function draft(answer) {
  if (answer == null) return undefined;
  check(typeof answer.rule === 'string', 'rule of a ticket', answer.rule);
  check(typeof answer.subject === 'string', 'subject of a ticket', answer.subject);
  return { body: '', priority: 'normal', tags: [], fields: [], ...answer };
}

const LENGTH = 1000;
function failed(error) {
  if (typeof error === 'string') throw error;
  if (!(error instanceof Error)) throw shown(error).slice(0, LENGTH);
  // The author's own frames.
  const frames = String(error.stack).split('\n').filter((frame) => frame.includes('@script.js:'));
  throw [String(error), ...frames].join('\n    at ').slice(0, LENGTH);
}

/** The function that the world exports, around the author's. */
export function wrap(plugin, name) {
  return (input) => {
    try {
      prepare(Number(input.at), BigInt(input.seed));
      if (typeof plugin[name] !== 'function') throw new TypeError(`the script exports no function ${name}`);
      const complete = name === 'onEvent' ? draft : decision;
      const answer = plugin[name](read(input));
      return typeof answer?.then === 'function' ? answer.then(complete).catch(failed) : complete(answer);
    } catch (error) {
      failed(error);
    }
  };
}
