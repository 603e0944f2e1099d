-- What Asterisk's queue_log says, row by row. The key makes a row that is delivered twice one row. call_id is the caller's
-- uniqueid; queue and agent are names within the tenant. at is Asterisk's time, created_at ours, both in microseconds.
CREATE TABLE queue_log (
    tenant_id TEXT NOT NULL,
    at INTEGER NOT NULL,
    call_id TEXT NOT NULL,
    queue TEXT NOT NULL,
    agent TEXT NOT NULL,
    event TEXT NOT NULL,
    data1 TEXT NOT NULL,
    data2 TEXT NOT NULL,
    data3 TEXT NOT NULL,
    data4 TEXT NOT NULL,
    data5 TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, at, call_id, queue, agent, event),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX queue_log_call ON queue_log (tenant_id, call_id, queue, at);
CREATE INDEX queue_log_created ON queue_log (tenant_id, created_at);
