-- Limits on calls out, what the operator says of numbers for all tenants, and callbacks that keep their place in a queue.

ALTER TABLE tenants ADD COLUMN max_outbound_calls BIGINT NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN max_outbound_rate BIGINT NOT NULL DEFAULT 10;
ALTER TABLE tenants ADD COLUMN country VARCHAR(2) NOT NULL DEFAULT '';

-- The platform's own: they belong to no tenant. What is changed in them raises the version, by which every process sees it.
CREATE TABLE platform_versions (
    name VARCHAR(20) NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO platform_versions (name, version) VALUES ('numbers', 1);

CREATE TABLE blocked_destinations (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    pattern VARCHAR(20) NOT NULL UNIQUE,
    note VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- An empty country is every country.
CREATE TABLE emergency_numbers (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    number VARCHAR(6) NOT NULL,
    country VARCHAR(2) NOT NULL,
    note VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (number, country)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
INSERT INTO emergency_numbers (id, number, country, note, created_at) VALUES
    ('00000000000000000000000112', '112', '', 'Europe, and every mobile network', 0),
    ('00000000000000000000000911', '911', '', 'North America', 0);

ALTER TABLE queues ADD COLUMN callback_key VARCHAR(1) NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN callback_schedule VARCHAR(19) NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN callback_sound VARCHAR(120) NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN callback_attempts BIGINT NOT NULL DEFAULT 3;
ALTER TABLE queues ADD COLUMN callback_retry_s BIGINT NOT NULL DEFAULT 300;
ALTER TABLE queues ADD COLUMN callback_expires_s BIGINT NOT NULL DEFAULT 28800;

-- open_key is the number while the callback is open, else its id: a number has one open callback in a queue. next_at is when
-- it may be dialled next, lease_at until when whoever dials it, or the call it became, is believed to be alive.
CREATE TABLE queue_callbacks (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    queue_id VARCHAR(26) NOT NULL,
    queue VARCHAR(19) NOT NULL,
    number VARCHAR(16) NOT NULL,
    name VARCHAR(80) NOT NULL,
    state VARCHAR(10) NOT NULL,
    asked_by VARCHAR(10) NOT NULL,
    did VARCHAR(16) NOT NULL,
    call_id VARCHAR(26) NOT NULL,
    place_at BIGINT NOT NULL,
    not_before BIGINT NOT NULL,
    next_at BIGINT NOT NULL DEFAULT 0,
    expires_at BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    lease_at BIGINT NOT NULL DEFAULT 0,
    node VARCHAR(26) NOT NULL DEFAULT '',
    called_call_id VARCHAR(26) NOT NULL,
    uniqueid VARCHAR(150) NOT NULL DEFAULT '',
    last_error VARCHAR(200) NOT NULL,
    open_key VARCHAR(26) NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    UNIQUE (tenant_id, queue_id, open_key),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (queue_id) REFERENCES queues (id) ON DELETE CASCADE,
    INDEX queue_callbacks_open (state, tenant_id, queue_id, place_at),
    INDEX queue_callbacks_place (tenant_id, place_at, id),
    INDEX queue_callbacks_queue (queue_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- A caller who presses the key of a queue leaves it for the context of that key.
DROP VIEW ara_queues;
CREATE VIEW ara_queues AS SELECT
    q.ara_name AS name, q.strategy, q.timeout_s AS timeout, q.retry_s AS retry, q.wrapup_s AS wrapuptime,
    q.max_len AS maxlen, q.service_level_s AS servicelevel, q.weight, q.announce_frequency_s AS announce_frequency,
    q.announce_position, q.announce_holdtime, q.periodic_announce_frequency_s AS periodic_announce_frequency,
    q.join_empty AS joinempty, q.leave_when_empty AS leavewhenempty,
    CASE WHEN q.ring_in_use THEN 'yes' ELSE 'no' END AS ringinuse, q.autopause, 'yes' AS autofill,
    'yes' AS setinterfacevar, NULLIF(q.music_class, '') AS musiconhold, NULLIF(q.periodic_announce, '') AS periodic_announce,
    CONCAT('hookswitch-callback-', NULLIF(q.callback_key, '')) AS context
FROM queues q;
