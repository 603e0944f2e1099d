-- What Asterisk's queue_log says, row by row. The key makes a row that is delivered twice one row. call_id is the caller's
-- uniqueid; queue and agent are names within the tenant. at is Asterisk's time, created_at ours, both in microseconds.
CREATE TABLE queue_log (
    tenant_id VARCHAR(20) NOT NULL,
    at BIGINT NOT NULL,
    call_id VARCHAR(150) NOT NULL,
    queue VARCHAR(19) NOT NULL,
    agent VARCHAR(80) NOT NULL,
    event VARCHAR(32) NOT NULL,
    data1 VARCHAR(200) NOT NULL,
    data2 VARCHAR(200) NOT NULL,
    data3 VARCHAR(200) NOT NULL,
    data4 VARCHAR(200) NOT NULL,
    data5 VARCHAR(200) NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, at, call_id, queue, agent, event),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX queue_log_call (tenant_id, call_id, queue, at),
    INDEX queue_log_created (tenant_id, created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
