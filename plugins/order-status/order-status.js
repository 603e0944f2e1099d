// Asks for an order number by keypad and says its state. Who waits for a late order, or whose number is unknown, goes to
// a person; all others are told goodbye.
//
// Settings: `orders` is a list such as 4711=shipped; `care` the states that a person should talk about (`delayed`);
// `queue` where persons are (`support`); `sounds` a list such as shipped=custom/order-shipped: recordings of your own,
// for Asterisk ships none, and without one a state is spelled.

const ATTEMPTS = 3;

/** @returns {Prompt} */
const sound = (name) => ({ tag: 'sound', val: name });
/** @returns {Prompt} */
const digits = (text) => ({ tag: 'digits', val: text });
/** @returns {Prompt} */
const spelled = (text) => ({ tag: 'letters', val: text });

/** A list of `name=value` as a map. */
function table(name) {
  const map = new Map();
  for (const line of settings.getList(name)) {
    const [key, value] = line.split('=');
    if (value) map.set(key.trim(), value.trim());
  }
  return map;
}

/** The number that the caller enters, or an empty text. */
function askForNumber(attempt) {
  const first = [sound('hello'), sound('your'), sound('number'), sound('astcc-followed-by-the-pound-key')];
  const again = [sound('please-try-again')];
  const prompts = attempt === 1 ? first : again;
  return gather({ prompts, maxDigits: 8, timeout: 7, pause: 3, terminators: '#' }).digits;
}

/** @returns {Decision} */
function toPerson(reason) {
  say([sound('one-moment-please')]);
  /** @type {Target} */
  const target = { tag: 'queue', val: settings.get('queue') ?? 'support' };
  return { tag: 'route', val: { steps: [{ target }], reason } };
}

/** @returns {Decision} */
function serve() {
  const orders = table('orders');
  answer();
  for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
    const number = askForNumber(attempt);
    const state = orders.get(number);
    log.info(`order ${number || '(none)'}: ${state ?? 'unknown'}`);
    if (!state) continue;
    // Whoever takes the call sees what it is about.
    setVariable('ORDER', number);
    setVariable('ORDER_STATE', state);
    const recording = table('sounds').get(state);
    const words = recording ? sound(recording) : spelled(state);
    say([sound('your'), sound('number'), digits(number), sound('is'), words]);
    if ((settings.get('care') ?? 'delayed').split('\n').includes(state)) return toPerson(`order ${number} is ${state}`);
    say([sound('vm-goodbye')]);
    return { tag: 'hang-up', val: { cause: 'normal', reason: `order ${number} is ${state}` } };
  }
  say([sound('im-sorry')]);
  return toPerson('no known order number');
}

/** @param {Call} call @returns {Decision} */
export function handleCall(call) {
  try {
    return serve();
  } catch (error) {
    // The caller is gone: there is nothing left to decide.
    if (error instanceof Failure && error.tag === 'hung-up') return { tag: 'pass' };
    throw error;
  }
}
