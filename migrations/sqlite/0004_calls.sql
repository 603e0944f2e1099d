-- Calls as they were decided and as they ended, the trace of every decision, and how far each node's journal is in.
-- tenant_id is empty for a call to a number that nobody owns.

CREATE TABLE calls (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    did TEXT NOT NULL,
    caller_number TEXT NOT NULL,
    caller_name TEXT NOT NULL,
    channel TEXT NOT NULL,
    uniqueid TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    language TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    reason TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    answered_at INTEGER,
    ended_at INTEGER,
    ended_by TEXT NOT NULL DEFAULT '',
    cause INTEGER,
    disposition TEXT NOT NULL DEFAULT '',
    duration_ms INTEGER,
    billed_ms INTEGER,
    answered_by TEXT NOT NULL DEFAULT '',
    dial_status TEXT NOT NULL DEFAULT '',
    queue_status TEXT NOT NULL DEFAULT '',
    voicemail_status TEXT NOT NULL DEFAULT '',
    fallback TEXT NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX calls_tenant_started ON calls (tenant_id, started_at);
CREATE INDEX calls_uniqueid ON calls (uniqueid);
CREATE INDEX calls_ended ON calls (ended_at);

CREATE TABLE call_traces (
    call_id TEXT NOT NULL,
    node_id TEXT NOT NULL,
    sequence INTEGER NOT NULL,
    tenant_id TEXT NOT NULL,
    hook TEXT NOT NULL,
    at INTEGER NOT NULL,
    trace TEXT NOT NULL,
    PRIMARY KEY (call_id, node_id, sequence)
) STRICT;

CREATE TABLE journal_positions (
    node_id TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
