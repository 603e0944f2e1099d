// WEBHOOK_SECRET=whsec_... node verify.mjs ID TIMESTAMP SIGNATURE < body
// With the public key of the endpoint (whpk_...) instead of the secret it verifies v1a.
import crypto from "node:crypto";
import { readFileSync } from "node:fs";

/** Whether the body, a Buffer of its raw bytes, was signed with the secret in the last five minutes. */
export function verify(secret, headers, body) {
  const [id, stamp, given] = ["id", "timestamp", "signature"].map((name) => headers[`webhook-${name}`] ?? "");
  if (!/^\d+$/.test(stamp) || Math.abs(Date.now() / 1000 - Number(stamp)) > 300) return false;
  const [kind, text] = secret.split("_");
  const key = Buffer.from(text, "base64");
  const signed = Buffer.concat([Buffer.from(`${id}.${stamp}.`), body]);
  return given.split(" ").some((one) => {
    const [version, tag] = one.split(",").map((part, n) => (n ? Buffer.from(part, "base64") : part));
    if (kind === "whpk" && version === "v1a") {
      const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), key]);
      return crypto.verify(null, signed, { key: der, format: "der", type: "spki" }, tag ?? Buffer.of());
    }
    const expected = crypto.createHmac("sha256", key).update(signed).digest();
    return kind === "whsec" && version === "v1" && tag?.length === 32 && crypto.timingSafeEqual(tag, expected);
  });
}

if (process.argv.length > 2) {
  const [id, timestamp, signature] = process.argv.slice(2);
  const headers = { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": signature };
  const good = verify(process.env.WEBHOOK_SECRET, headers, readFileSync(0));
  console.log(good ? "ok" : "refused");
  process.exitCode = good ? 0 : 1;
}
