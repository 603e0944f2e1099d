-- Limits on calls out, what the operator says of numbers for all tenants, and callbacks that keep their place in a queue.

ALTER TABLE tenants ADD COLUMN max_outbound_calls INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN max_outbound_rate INTEGER NOT NULL DEFAULT 10;
ALTER TABLE tenants ADD COLUMN country TEXT NOT NULL DEFAULT '';

-- The platform's own: they belong to no tenant. What is changed in them raises the version, by which every process sees it.
CREATE TABLE platform_versions (
    name TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;
INSERT INTO platform_versions (name, version) VALUES ('numbers', 1);

CREATE TABLE blocked_destinations (
    id TEXT NOT NULL PRIMARY KEY,
    pattern TEXT NOT NULL UNIQUE,
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;

-- An empty country is every country.
CREATE TABLE emergency_numbers (
    id TEXT NOT NULL PRIMARY KEY,
    number TEXT NOT NULL,
    country TEXT NOT NULL,
    note TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (number, country)
) STRICT;
INSERT INTO emergency_numbers (id, number, country, note, created_at) VALUES
    ('00000000000000000000000112', '112', '', 'Europe, and every mobile network', 0),
    ('00000000000000000000000911', '911', '', 'North America', 0);

ALTER TABLE queues ADD COLUMN callback_key TEXT NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN callback_schedule TEXT NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN callback_sound TEXT NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN callback_attempts INTEGER NOT NULL DEFAULT 3;
ALTER TABLE queues ADD COLUMN callback_retry_s INTEGER NOT NULL DEFAULT 300;
ALTER TABLE queues ADD COLUMN callback_expires_s INTEGER NOT NULL DEFAULT 28800;

-- open_key is the number while the callback is open, else its id: a number has one open callback in a queue. next_at is when
-- it may be dialled next, lease_at until when whoever dials it, or the call it became, is believed to be alive.
CREATE TABLE queue_callbacks (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    queue TEXT NOT NULL,
    number TEXT NOT NULL,
    name TEXT NOT NULL,
    state TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    did TEXT NOT NULL,
    call_id TEXT NOT NULL,
    place_at INTEGER NOT NULL,
    not_before INTEGER NOT NULL,
    next_at INTEGER NOT NULL DEFAULT 0,
    expires_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    lease_at INTEGER NOT NULL DEFAULT 0,
    node TEXT NOT NULL DEFAULT '',
    called_call_id TEXT NOT NULL,
    uniqueid TEXT NOT NULL DEFAULT '',
    last_error TEXT NOT NULL,
    open_key TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    UNIQUE (tenant_id, queue_id, open_key),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (queue_id) REFERENCES queues (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX queue_callbacks_open ON queue_callbacks (state, tenant_id, queue_id, place_at);
CREATE INDEX queue_callbacks_place ON queue_callbacks (tenant_id, place_at, id);
CREATE INDEX queue_callbacks_queue ON queue_callbacks (queue_id);

-- A caller who presses the key of a queue leaves it for the context of that key.
DROP VIEW ara_queues;
CREATE VIEW ara_queues AS SELECT
    q.ara_name AS name, q.strategy, q.timeout_s AS timeout, q.retry_s AS retry, q.wrapup_s AS wrapuptime,
    q.max_len AS maxlen, q.service_level_s AS servicelevel, q.weight, q.announce_frequency_s AS announce_frequency,
    q.announce_position, q.announce_holdtime, q.periodic_announce_frequency_s AS periodic_announce_frequency,
    q.join_empty AS joinempty, q.leave_when_empty AS leavewhenempty,
    CASE WHEN q.ring_in_use THEN 'yes' ELSE 'no' END AS ringinuse, q.autopause, 'yes' AS autofill,
    'yes' AS setinterfacevar, NULLIF(q.music_class, '') AS musiconhold, NULLIF(q.periodic_announce, '') AS periodic_announce,
    'hookswitch-callback-' || NULLIF(q.callback_key, '') AS context
FROM queues q;
