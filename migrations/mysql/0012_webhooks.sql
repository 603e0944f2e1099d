-- Endpoints of webhook consumers, how far each tenant's events are handed to them, and what was sent. Secrets are sealed.
-- A delivery that is pending and has an owner is in that process's memory; without one anybody may take it when it is due.

CREATE TABLE webhooks (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(100) NOT NULL,
    url VARCHAR(2048) NOT NULL,
    types TEXT NOT NULL,
    headers_secret TEXT NOT NULL,
    header_names TEXT NOT NULL,
    signatures TEXT NOT NULL,
    secret VARCHAR(300) NOT NULL,
    old_secret VARCHAR(300) NOT NULL DEFAULT '',
    old_secret_until BIGINT,
    private_key VARCHAR(200) NOT NULL,
    public_key VARCHAR(60) NOT NULL,
    ordered BOOLEAN NOT NULL,
    concurrency BIGINT NOT NULL,
    timeout_s BIGINT NOT NULL,
    status VARCHAR(20) NOT NULL,
    disabled_reason VARCHAR(40) NOT NULL DEFAULT '',
    from_position BIGINT NOT NULL,
    failing_since BIGINT,
    failures BIGINT NOT NULL DEFAULT 0,
    last_success_at BIGINT,
    last_failure_at BIGINT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX webhooks_created ON webhooks (tenant_id, created_at, id);
CREATE INDEX webhooks_updated ON webhooks (updated_at);

CREATE TABLE webhook_cursors (
    tenant_id VARCHAR(20) NOT NULL PRIMARY KEY,
    position BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE webhook_nodes (
    node_id VARCHAR(26) NOT NULL PRIMARY KEY,
    alive_until BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE webhook_deliveries (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    webhook_id VARCHAR(26) NOT NULL,
    event_position BIGINT NOT NULL,
    event_id VARCHAR(30) NOT NULL,
    event_type VARCHAR(80) NOT NULL,
    event_key VARCHAR(120) NOT NULL,
    status VARCHAR(20) NOT NULL,
    cause VARCHAR(20) NOT NULL,
    attempts BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    owner VARCHAR(26) NOT NULL,
    last_status BIGINT,
    last_error VARCHAR(40) NOT NULL DEFAULT '',
    finished_at BIGINT,
    created_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (tenant_id, created_at, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, status, next_at);
CREATE INDEX webhook_deliveries_owner ON webhook_deliveries (owner, status);

CREATE TABLE webhook_attempts (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    webhook_id VARCHAR(26) NOT NULL,
    delivery_id VARCHAR(26) NOT NULL,
    event_id VARCHAR(30) NOT NULL,
    number BIGINT NOT NULL,
    outcome VARCHAR(40) NOT NULL,
    status_code BIGINT,
    detail VARCHAR(300) NOT NULL,
    duration_ms BIGINT NOT NULL,
    url VARCHAR(2048) NOT NULL,
    peer VARCHAR(60) NOT NULL,
    request_headers TEXT NOT NULL,
    response_headers TEXT NOT NULL,
    response_body MEDIUMTEXT NOT NULL,
    created_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX webhook_attempts_created ON webhook_attempts (tenant_id, created_at, id);
CREATE INDEX webhook_attempts_delivery ON webhook_attempts (delivery_id);
