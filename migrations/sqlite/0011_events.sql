-- What happened: one stream for each tenant. A position is given under the lock of the tenant's head and without gaps, so
-- that whoever has read up to one has seen all before it. event_sequences counts within a key.

CREATE TABLE event_heads (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL,
    changed_at INTEGER NOT NULL
) STRICT;
CREATE INDEX event_heads_changed ON event_heads (changed_at);

CREATE TABLE event_sequences (
    tenant_id TEXT NOT NULL,
    event_key TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    changed_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, event_key)
) STRICT;
CREATE INDEX event_sequences_changed ON event_sequences (changed_at);

-- owners: ids of the users whose own it is, as JSON; empty: the question does not arise.
CREATE TABLE events (
    tenant_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    event_key TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    owners TEXT NOT NULL,
    data TEXT NOT NULL,
    PRIMARY KEY (tenant_id, position)
) STRICT;
CREATE UNIQUE INDEX events_key ON events (tenant_id, event_key, sequence);
CREATE INDEX events_at ON events (at);
