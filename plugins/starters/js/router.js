// Callers with the tag `vip` go to a person, all others wait in a queue.

/** @param {Call} call @returns {Decision} */
export function routeCall(call) {
  const { number } = call.caller;
  const contact = number ? contacts.byNumber(number) : null;
  /** @type {Step} */
  const queue = { target: { tag: 'queue', val: settings.get('queue') ?? 'support' } };
  if (contact?.tags.includes('vip')) {
    console.log(`${contact.name} is a VIP`);
    /** @type {Step} */
    const person = { target: { tag: 'endpoint', val: '101' }, timeout: 20 };
    return { tag: 'route', val: { steps: [person, queue], reason: 'vip' } };
  }
  return { tag: 'route', val: { steps: [queue], reason: 'everybody' } };
}
