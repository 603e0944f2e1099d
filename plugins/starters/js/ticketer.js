// A ticket for every call that nobody answered.

/** @param {PluginEvent} event @returns {TicketDraft | null} */
export function onEvent(event) {
  if (event.kind !== 'call.missed') return null;
  const { caller_number: number, did } = JSON.parse(event.data);
  console.log(`${number} was missed`);
  return {
    rule: 'missed-call',
    subject: `Missed call from ${number ?? 'a withheld number'}`,
    body: `Somebody called ${did} and nobody answered.`,
    contact: number,
    tags: ['missed'],
  };
}
