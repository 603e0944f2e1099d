-- What an endpoint has of one key: looked for whenever an ordered delivery ends, and when past events are sent again.

CREATE INDEX webhook_deliveries_key ON webhook_deliveries (webhook_id, event_key, status, event_position);
