// A newcomer's walk through a running service, with nothing but the document: a tenant, an agent with a phone, a queue,
// a number. Prints the number; whoever calls it lands in the queue. Arguments: base URL, e-mail, password.

import assert from "node:assert/strict";
import { Client, HookswitchError } from "../src/index.js";

const [baseUrl = "", email = "", password = ""] = process.argv.slice(2);
const suffix = Date.now().toString(36).slice(-6);
let token: string | undefined;
const client = new Client({ baseUrl, token: () => token });

const login = await client.post("/api/v1/auth/login", { body: { email, password } });
assert.equal(login.token_type, "Bearer");
token = login.access_token;

const id = `walk_${suffix}`;
const tenant = await client.post("/api/v1/tenants", { body: { id, name: "Walk Inc." } });
assert.equal(tenant.status, "active");
token = (await client.post("/api/v1/auth/switch-tenant", { body: { tenant_id: id } })).access_token;

const agent = await client.post("/api/v1/users", {
  body: { email: `agent@${id.replace("_", "-")}.test`, first_name: "Ann", last_name: "Agent", role: "agent", password: `${suffix}-a-long-passphrase` },
});
assert.equal(agent.role, "agent");

const phone = await client.post("/api/v1/endpoints", { body: { name: "101", display_name: "Ann's phone" } });
const queue = await client.post("/api/v1/queues", { body: { name: "support", display_name: "Support" } });
await client.post("/api/v1/queues/{queue_id}/members", { path: { queue_id: queue.id }, body: { endpoint_id: phone.id, user_id: agent.id } });

const number = `+1555${Math.floor(1_000_000 + Math.random() * 8_999_999)}`;
const key = { "Idempotency-Key": `walk-${suffix}` };
const did = await client.post("/api/v1/dids", { headers: key, body: { number, route_type: "queue", route_target: "support" } });
const again = await client.post("/api/v1/dids", { headers: key, body: { number, route_type: "queue", route_target: "support" } });
assert.equal(again.id, did.id);

const numbers: string[] = [];
for await (const one of client.all((after) => client.get("/api/v1/dids", { query: after === undefined ? { limit: 1 } : { limit: 1, after } }))) {
  numbers.push(one.number);
}
assert.deepEqual(numbers, [number]);

await assert.rejects(
  client.post("/api/v1/dids", { body: { number: "12", route_type: "queue", route_target: "Nowhere!" } }),
  (error: unknown) => error instanceof HookswitchError && error.status === 422 && (error.problem.errors ?? []).some((e) => e.pointer === "/number"),
);
console.log(JSON.stringify({ tenant: id, number }));
