// Evaluated once, when the engine is built; every run begins with what this made. `$` holds the host's functions by
// interface. The value of the script goes to the engine.
(($) => {
  class Failure extends Error {
    constructor(tag, val) {
      super(Array.isArray(val) ? `${val[0]}: ${val[1]}` : val == null ? tag : `${tag}: ${val}`);
      this.tag = tag;
      this.val = val ?? null;
    }
  }
  const hidden = (object, name, value) =>
    Object.defineProperty(object, name, { value, writable: true, configurable: true });
  hidden(Failure.prototype, 'name', 'Failure');

  const { write } = $.log;
  for (const level of ['debug', 'info', 'warn', 'error']) {
    $.log[level] = (message) => { write(level, String(message)); };
  }
  const shown = (value) => {
    if (typeof value === 'string') return value;
    if (value instanceof Error) return `${value}\n${value.stack}`.trimEnd();
    try {
      return JSON.stringify(value) ?? String(value);
    } catch {
      return String(value);
    }
  };
  const line = (level) => (...values) => { write(level, values.map(shown).join(' ')); };
  const console = {
    debug: line('debug'), log: line('info'), info: line('info'), warn: line('warn'), error: line('error'),
  };

  // The caller on the line is for call scripts: the engine calls this for them.
  const { callControl, ...everywhere } = $;
  const withCaller = () => {
    hidden(globalThis, 'callControl', Object.freeze(callControl));
    for (const name in callControl) hidden(globalThis, name, callControl[name]);
  };
  for (const name in everywhere) hidden(globalThis, name, Object.freeze(everywhere[name]));
  hidden(globalThis, 'console', console);
  hidden(globalThis, 'Failure', Failure);
  return { Failure, withCaller, shown };
})
