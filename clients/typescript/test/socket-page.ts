// A page that listens and tells its own server what it hears. Parameters: `base`, `token`.

import { EventSocket } from "../src/index.js";

const parameters = new URLSearchParams(location.search);
let told: Promise<unknown> = Promise.resolve();
function tell(what: object): void {
  told = told.then(() => fetch("/log", { method: "POST", body: JSON.stringify(what) }));
}

new EventSocket({
  baseUrl: parameters.get("base") ?? "",
  token: () => parameters.get("token") ?? "",
  types: ["tag.*", "ticket.created"],
  baseMs: 100,
  capMs: 1_000,
  onReady: (ready) => tell({ ready: ready.role }),
  onEvent: (event) => {
    // Narrowed by its type: a ticket's data has a subject, a tag's a name.
    if (event.type === "ticket.created") tell({ event: event.data.subject });
    else tell({ event: event.data.name });
  },
  onResync: () => tell({ resync: true }),
  onLost: (code, reason) => tell({ lost: code, reason }),
  onClosed: (code, reason) => tell({ closed: code, reason }),
  onError: (error) => tell({ error: String(error) }),
});
