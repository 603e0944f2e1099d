-- Calls as they were decided and as they ended, the trace of every decision, and how far each node's journal is in.
-- tenant_id is empty for a call to a number that nobody owns.

CREATE TABLE calls (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    direction VARCHAR(10) NOT NULL,
    did VARCHAR(80) NOT NULL,
    caller_number VARCHAR(80) NOT NULL,
    caller_name VARCHAR(200) NOT NULL,
    channel VARCHAR(120) NOT NULL,
    uniqueid VARCHAR(150) NOT NULL,
    linkedid VARCHAR(150) NOT NULL,
    language VARCHAR(20) NOT NULL,
    action VARCHAR(20) NOT NULL,
    target VARCHAR(150) NOT NULL,
    reason VARCHAR(40) NOT NULL,
    started_at BIGINT NOT NULL,
    answered_at BIGINT,
    ended_at BIGINT,
    ended_by VARCHAR(20) NOT NULL DEFAULT '',
    cause BIGINT,
    disposition VARCHAR(20) NOT NULL DEFAULT '',
    duration_ms BIGINT,
    billed_ms BIGINT,
    answered_by VARCHAR(120) NOT NULL DEFAULT '',
    dial_status VARCHAR(30) NOT NULL DEFAULT '',
    queue_status VARCHAR(30) NOT NULL DEFAULT '',
    voicemail_status VARCHAR(30) NOT NULL DEFAULT '',
    fallback VARCHAR(40) NOT NULL DEFAULT ''
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX calls_tenant_started ON calls (tenant_id, started_at);
CREATE INDEX calls_uniqueid ON calls (uniqueid);
CREATE INDEX calls_ended ON calls (ended_at);

CREATE TABLE call_traces (
    call_id VARCHAR(26) NOT NULL,
    node_id VARCHAR(26) NOT NULL,
    sequence BIGINT NOT NULL,
    tenant_id VARCHAR(20) NOT NULL,
    hook VARCHAR(10) NOT NULL,
    at BIGINT NOT NULL,
    trace MEDIUMTEXT NOT NULL,
    PRIMARY KEY (call_id, node_id, sequence)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE journal_positions (
    node_id VARCHAR(26) NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
