-- Ends of calls as they are; Asterisk's own records; records as files.

ALTER TABLE calls ADD COLUMN queue TEXT NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN talk_ms INTEGER;
ALTER TABLE calls ADD COLUMN transferred INTEGER NOT NULL DEFAULT 0;
ALTER TABLE cdrs ADD COLUMN talk_s INTEGER;
ALTER TABLE cdrs ADD COLUMN transferred INTEGER NOT NULL DEFAULT 0;

-- Written by Asterisk's cdr_adaptive_odbc, one row for each leg: Asterisk's own names, then ours, then what only we write.
-- Times are UTC, as text: the drivers of both databases agree about it. drained_at is 0 until the leg is looked at.
CREATE TABLE cdr (
    id INTEGER NOT NULL PRIMARY KEY,
    accountcode TEXT NOT NULL DEFAULT '',
    src TEXT NOT NULL DEFAULT '',
    dst TEXT NOT NULL DEFAULT '',
    dcontext TEXT NOT NULL DEFAULT '',
    clid TEXT NOT NULL DEFAULT '',
    channel TEXT NOT NULL DEFAULT '',
    dstchannel TEXT NOT NULL DEFAULT '',
    lastapp TEXT NOT NULL DEFAULT '',
    lastdata TEXT NOT NULL DEFAULT '',
    start TEXT NOT NULL DEFAULT '',
    answer TEXT,
    end TEXT NOT NULL DEFAULT '',
    duration INTEGER NOT NULL DEFAULT 0,
    billsec INTEGER NOT NULL DEFAULT 0,
    disposition TEXT NOT NULL DEFAULT '',
    amaflags TEXT NOT NULL DEFAULT '',
    userfield TEXT NOT NULL DEFAULT '',
    uniqueid TEXT NOT NULL DEFAULT '',
    linkedid TEXT NOT NULL DEFAULT '',
    peeraccount TEXT NOT NULL DEFAULT '',
    sequence INTEGER NOT NULL DEFAULT 0,
    tenant_id TEXT NOT NULL DEFAULT '',
    call_id TEXT NOT NULL DEFAULT '',
    did TEXT NOT NULL DEFAULT '',
    queue TEXT NOT NULL DEFAULT '',
    agent TEXT NOT NULL DEFAULT '',
    cause INTEGER,
    talk TEXT,
    drained_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX cdr_drained ON cdr (drained_at, id);
CREATE INDEX cdr_call ON cdr (call_id);
CREATE INDEX cdr_linkedid ON cdr (linkedid);

CREATE TABLE cdr_exports (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    status TEXT NOT NULL,
    filters TEXT NOT NULL,
    columns TEXT NOT NULL,
    total INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    bytes INTEGER NOT NULL DEFAULT 0,
    after_at INTEGER,
    after_id TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    expires_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX cdr_exports_created ON cdr_exports (tenant_id, created_at, id);
CREATE INDEX cdr_exports_creator ON cdr_exports (created_by);
