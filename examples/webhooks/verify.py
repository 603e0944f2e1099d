# WEBHOOK_SECRET=whsec_... python3 verify.py ID TIMESTAMP SIGNATURE < body
import base64, hashlib, hmac, os, sys, time


def verify(secret, headers, body):
    """Whether the body, as its raw bytes came, was signed with the secret in the last five minutes."""
    id, stamp = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not stamp.isdecimal() or abs(time.time() - int(stamp)) > 300:
        return False
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.new(key, f"{id}.{stamp}.".encode() + body, hashlib.sha256).digest()
    expected = b"v1," + base64.b64encode(digest)
    given = headers.get("webhook-signature", "").split(" ")
    return any([hmac.compare_digest(expected, one.encode()) for one in given])


if __name__ == "__main__":
    names = ["webhook-id", "webhook-timestamp", "webhook-signature"]
    good = verify(os.environ["WEBHOOK_SECRET"], dict(zip(names, sys.argv[1:])), sys.stdin.buffer.read())
    print("ok" if good else "refused")
    sys.exit(not good)
