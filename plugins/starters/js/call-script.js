// Asks the caller for 1 or 2, then sends the call on.

/** @param {Call} call @returns {Decision} */
export function handleCall(call) {
  answer();
  const { digits } = gather({
    prompts: [{ tag: 'sound', val: 'vm-press' }, { tag: 'digits', val: '12' }],
    maxDigits: 1,
    timeout: 5,
    pause: 3,
  });
  console.log(`${call.id}: pressed ${digits}`);
  if (digits === '1') {
    return { tag: 'route', val: { steps: [{ target: { tag: 'queue', val: 'support' } }], reason: 'pressed 1' } };
  }
  if (digits === '2') {
    return { tag: 'route', val: { steps: [{ target: { tag: 'endpoint', val: '101' } }], reason: 'pressed 2' } };
  }
  return { tag: 'pass' };
}
