// One script that misbehaves in the way its setting `mode` says; as a router, a ticketer or a call script.
const pass = { tag: 'pass' };
const deep = (n) => deep(n + 1) + 1;

const modes = {
  'error-string': () => { throw 'no such customer'; },
  'error-object': () => { throw new Error('no such customer'); },
  'type-error': (input) => input.nothing.here,
  spin: () => { for (;;) {} },
  'spin-in-regex': () => /^(a+)+$/.test('a'.repeat(40) + 'b') || pass,
  recurse: () => deep(0),
  bomb: () => { const all = []; for (;;) all.push(new Uint8Array(1 << 20).fill(1)); },
  'huge-output': () => ({ tag: 'hang-up', val: { cause: 'normal', reason: 'x'.repeat(1 << 20) } }),
  'wrong-shape': () => ({ queue: 'support' }),
  'wrong-tag': () => ({ tag: 'teleport' }),
  nothing: () => undefined,
  'many-host-calls': () => { for (;;) settings.get('mode'); },
  denied: () => http.send({ method: 'GET', url: 'https://example.com/' }) && pass,
  'denied-caught': () => {
    try {
      http.send({ method: 'GET', url: 'https://example.com/' });
    } catch (error) {
      if (error instanceof Failure && error.tag === 'denied') return pass;
    }
    return undefined;
  },
  chance: () => ({ tag: 'hang-up', val: { cause: 'normal', reason: `${Math.random()} ${Date.now()}` } }),
  console: () => { console.log('hello', { a: 1 }); return pass; },
  async: async () => { await null; return pass; },
  never: () => new Promise(() => {}),
  pollute: () => {
    const before = globalThis.seen;
    globalThis.seen = true;
    return before ? undefined : pass;
  },
};

function misbehave(input) {
  return (modes[settings.get('mode')] ?? (() => pass))(input);
}

export const routeCall = misbehave;
export const handleCall = misbehave;
export const onEvent = misbehave;
