// Whether the official library takes a message: ID TIMESTAMP SIGNATURE, the secret in WEBHOOK_SECRET, the body as input.
const { readFileSync } = require("node:fs");
const { Webhook, WebhookVerificationError } = require("standardwebhooks");

const [id, timestamp, signature] = process.argv.slice(2);
const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
try {
  new Webhook(process.env.WEBHOOK_SECRET).verify(readFileSync(0), headers);
  console.log("ok");
} catch (error) {
  if (!(error instanceof WebhookVerificationError)) throw error;
  console.log("refused");
  process.exitCode = 1;
}
