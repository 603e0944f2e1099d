// The event socket against a WebSocket that does what it is told: pauses, new tokens, lost answers, ends.

import assert from "node:assert/strict";
import { EventSocket } from "../src/index.js";
import type { EventSocketOptions } from "../src/index.js";

/** The other side's view of one connection. */
class Fake {
  static all: Fake[] = [];
  readyState = 1;
  sent: Record<string, unknown>[] = [];
  onopen?: () => void;
  onmessage?: (message: { data: string }) => void;
  onclose?: (closed: { code: number; reason: string }) => void;
  constructor(readonly url: URL) {
    Fake.all.push(this);
    queueMicrotask(() => this.onopen?.());
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text) as Record<string, unknown>);
  }
  close(): void {
    this.readyState = 3;
  }
  say(frame: object): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  end(code: number, reason = ""): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
}

const soon = (): Promise<void> => new Promise((done) => setTimeout(done, 5));
const last = (): Fake => Fake.all.at(-1) ?? assert.fail("no connection");
const ready = { op: "ready", session_id: "s", role: "viewer", tenant_id: "acme", expires_at: null };
const told: string[] = [];
let tokens = 0;

function open(more: Partial<EventSocketOptions<"tag.*">> = {}): EventSocket<"tag.*"> {
  told.length = 0;
  return new EventSocket({
    baseUrl: "https://pbx.example.com",
    types: ["tag.*"],
    token: () => `token ${(tokens += 1)}`,
    onEvent: (event, cursor) => { told.push(`${event.type} ${event.data.name} ${cursor}`); },
    onResync: (cursor) => { told.push(`resync ${cursor}`); },
    onLost: (code, reason, pause) => { told.push(`lost ${code} ${reason} ${pause}`); },
    onClosed: (code, reason) => { told.push(`closed ${code} ${reason}`); },
    onError: (error) => { told.push(`error ${String(error)}`); },
    random: () => 0.5,
    baseMs: 4,
    capMs: 10,
    WebSocket: Fake as unknown as typeof WebSocket,
    ...more,
  });
}

function event(name: string, cursor: string): object {
  return { op: "event", cursor, id: "evt", type: "tag.created", timestamp: "", tenant_id: "acme", key: "tag:1", sequence: 1, data: { name } };
}

// It says who it is, subscribes, and goes on from the last cursor with a new token, after pauses that grow to the cap.
const socket = open();
await soon();
assert.equal(last().url.href, "wss://pbx.example.com/ws/v1");
assert.deepEqual(last().sent, [{ op: "auth", token: "token 1" }]);
last().say(ready);
assert.deepEqual(last().sent[1], { op: "subscribe", types: ["tag.*"] });
last().say({ op: "subscribed", types: ["tag.*"], cursor: "c0" });
last().say(event("one", "c1"));
last().say({ op: "cursor", cursor: "c2" });
assert.equal(socket.cursor, "c2");
last().say({ op: "resync", cursor: "c3" });
last().end(1006);
await soon();
last().end(1006);
await soon();
last().end(1006);
await soon();
await soon();
assert.deepEqual(told, ["tag.created one c1", "resync c3", "lost 1006  2", "lost 1006  4", "lost 1006  5"]);
assert.equal(Fake.all.length, 4);
last().say(ready);
assert.deepEqual(last().sent, [{ op: "auth", token: "token 4" }, { op: "subscribe", types: ["tag.*"], after: "c3" }]);
last().say({ op: "subscribed", types: ["tag.*"], cursor: "c3" });

// A token that ends is replaced on the same connection, and nothing is subscribed twice.
last().say({ op: "expiring", expires_at: "" });
await soon();
last().say(ready);
assert.deepEqual(last().sent.slice(2), [{ op: "auth", token: "token 5" }]);

// One that lets go hears no more; after a success the pauses begin anew.
const old = last();
old.end(1001, "server-stopping");
assert.equal(told.at(-1), "lost 1001 server-stopping 2");
old.say(event("ghost", "c9"));
await soon();
assert.equal(socket.cursor, "c3");
socket.close();
socket.close();
assert.equal(told.at(-1), "closed 1000 closed");
const count = Fake.all.length;
await soon();
assert.equal(Fake.all.length, count);

// What another try does not mend is the end; a token that is refused is asked for once more.
for (const code of [4400, 4403, 4404, 4409, 4440, 4441]) {
  open();
  await soon();
  last().end(code, "why");
  assert.deepEqual(told, [`closed ${code} why`]);
}
open();
await soon();
last().end(4401, "unauthenticated");
await soon();
last().end(4401, "unauthenticated");
assert.deepEqual(told, ["lost 4401 unauthenticated 2", "closed 4401 unauthenticated"]);

// No answer to a ping; no token; a handler that throws.
const silent = open({ pingMs: 5, onEvent: () => { throw new Error("mine"); }, after: "a" });
await soon();
last().say(ready);
assert.deepEqual(last().sent[1], { op: "subscribe", types: ["tag.*"], after: "a" });
last().say(event("x", "c1"));
await new Promise((done) => setTimeout(done, 30));
assert.deepEqual(last() === Fake.all.at(-1) && told.slice(0, 2), ["error Error: mine", "lost 4499 no answer 2"]);
silent.close();
const lost = open({ token: () => Promise.reject(new Error("offline")) });
await soon();
assert.deepEqual(told.slice(0, 2), ["error Error: offline", "lost 4499 no token 2"]);
lost.close();
console.log("ok");
process.exit(0);
