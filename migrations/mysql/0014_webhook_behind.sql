-- An endpoint that takes no more gets no deliveries: of the events behind this position of the tenant's stream, as far as
-- they were handed out, it has none yet. They are made when it takes some again. NULL: it has all.
-- missed: what it was behind when it was disabled, from one position until another; `recover` looks there too.

ALTER TABLE webhooks ADD COLUMN behind BIGINT;
ALTER TABLE webhooks ADD COLUMN behind_since BIGINT;
ALTER TABLE webhooks ADD COLUMN missed_from BIGINT;
ALTER TABLE webhooks ADD COLUMN missed_until BIGINT;
