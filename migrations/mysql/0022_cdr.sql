-- Ends of calls as they are; Asterisk's own records; records as files.

ALTER TABLE calls ADD COLUMN queue VARCHAR(150) NOT NULL DEFAULT '';
ALTER TABLE calls ADD COLUMN talk_ms BIGINT;
ALTER TABLE calls ADD COLUMN transferred BOOLEAN NOT NULL DEFAULT 0;
ALTER TABLE cdrs ADD COLUMN talk_s BIGINT;
ALTER TABLE cdrs ADD COLUMN transferred BOOLEAN NOT NULL DEFAULT 0;

-- Written by Asterisk's cdr_adaptive_odbc, one row for each leg: Asterisk's own names, then ours, then what only we write.
-- Times are UTC, as text: the drivers of both databases agree about it. drained_at is 0 until the leg is looked at.
CREATE TABLE cdr (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,
    accountcode VARCHAR(80) NOT NULL DEFAULT '',
    src VARCHAR(80) NOT NULL DEFAULT '',
    dst VARCHAR(80) NOT NULL DEFAULT '',
    dcontext VARCHAR(80) NOT NULL DEFAULT '',
    clid VARCHAR(200) NOT NULL DEFAULT '',
    channel VARCHAR(120) NOT NULL DEFAULT '',
    dstchannel VARCHAR(120) NOT NULL DEFAULT '',
    lastapp VARCHAR(80) NOT NULL DEFAULT '',
    lastdata VARCHAR(200) NOT NULL DEFAULT '',
    start VARCHAR(30) NOT NULL DEFAULT '',
    answer VARCHAR(30),
    end VARCHAR(30) NOT NULL DEFAULT '',
    duration INTEGER NOT NULL DEFAULT 0,
    billsec INTEGER NOT NULL DEFAULT 0,
    disposition VARCHAR(45) NOT NULL DEFAULT '',
    amaflags VARCHAR(45) NOT NULL DEFAULT '',
    userfield VARCHAR(256) NOT NULL DEFAULT '',
    uniqueid VARCHAR(150) NOT NULL DEFAULT '',
    linkedid VARCHAR(150) NOT NULL DEFAULT '',
    peeraccount VARCHAR(80) NOT NULL DEFAULT '',
    sequence INTEGER NOT NULL DEFAULT 0,
    tenant_id VARCHAR(80) NOT NULL DEFAULT '',
    call_id VARCHAR(64) NOT NULL DEFAULT '',
    did VARCHAR(80) NOT NULL DEFAULT '',
    queue VARCHAR(150) NOT NULL DEFAULT '',
    agent VARCHAR(120) NOT NULL DEFAULT '',
    cause INTEGER,
    talk VARCHAR(40),
    drained_at BIGINT NOT NULL DEFAULT 0,
    INDEX cdr_drained (drained_at, id),
    INDEX cdr_call (call_id),
    INDEX cdr_linkedid (linkedid)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE cdr_exports (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    status VARCHAR(20) NOT NULL,
    filters TEXT NOT NULL,
    columns TEXT NOT NULL,
    total BIGINT NOT NULL DEFAULT 0,
    done BIGINT NOT NULL DEFAULT 0,
    bytes BIGINT NOT NULL DEFAULT 0,
    after_at BIGINT,
    after_id VARCHAR(26) NOT NULL DEFAULT '',
    error VARCHAR(200) NOT NULL DEFAULT '',
    created_by VARCHAR(26),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    expires_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL,
    INDEX cdr_exports_created (tenant_id, created_at, id),
    INDEX cdr_exports_creator (created_by)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
