# Whether the official library takes a message: ID TIMESTAMP SIGNATURE, the secret in WEBHOOK_SECRET, the body as input.
import os
import sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

headers = dict(zip(["webhook-id", "webhook-timestamp", "webhook-signature"], sys.argv[1:]))
try:
    Webhook(os.environ["WEBHOOK_SECRET"]).verify(sys.stdin.buffer.read(), headers)
    print("ok")
except WebhookVerificationError:
    print("refused")
    sys.exit(1)
