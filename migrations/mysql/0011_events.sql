-- What happened: one stream for each tenant. A position is given under the lock of the tenant's head and without gaps, so
-- that whoever has read up to one has seen all before it. event_sequences counts within a key.

CREATE TABLE event_heads (
    tenant_id VARCHAR(20) NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL,
    changed_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX event_heads_changed ON event_heads (changed_at);

CREATE TABLE event_sequences (
    tenant_id VARCHAR(20) NOT NULL,
    event_key VARCHAR(120) NOT NULL,
    sequence BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, event_key)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX event_sequences_changed ON event_sequences (changed_at);

-- owners: ids of the users whose own it is, as JSON; empty: the question does not arise.
CREATE TABLE events (
    tenant_id VARCHAR(20) NOT NULL,
    position BIGINT NOT NULL,
    id VARCHAR(30) NOT NULL,
    kind VARCHAR(80) NOT NULL,
    event_key VARCHAR(120) NOT NULL,
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    owners TEXT NOT NULL,
    data MEDIUMTEXT NOT NULL,
    PRIMARY KEY (tenant_id, position)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE UNIQUE INDEX events_key ON events (tenant_id, event_key, sequence);
CREATE INDEX events_at ON events (at);
