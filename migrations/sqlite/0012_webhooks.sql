-- Endpoints of webhook consumers, how far each tenant's events are handed to them, and what was sent. Secrets are sealed.
-- A delivery that is pending and has an owner is in that process's memory; without one anybody may take it when it is due.

CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    url TEXT NOT NULL,
    types TEXT NOT NULL,
    headers_secret TEXT NOT NULL,
    header_names TEXT NOT NULL,
    signatures TEXT NOT NULL,
    secret TEXT NOT NULL,
    old_secret TEXT NOT NULL DEFAULT '',
    old_secret_until INTEGER,
    private_key TEXT NOT NULL,
    public_key TEXT NOT NULL,
    ordered INTEGER NOT NULL,
    concurrency INTEGER NOT NULL,
    timeout_s INTEGER NOT NULL,
    status TEXT NOT NULL,
    disabled_reason TEXT NOT NULL DEFAULT '',
    from_position INTEGER NOT NULL,
    failing_since INTEGER,
    failures INTEGER NOT NULL DEFAULT 0,
    last_success_at INTEGER,
    last_failure_at INTEGER,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX webhooks_created ON webhooks (tenant_id, created_at, id);
CREATE INDEX webhooks_updated ON webhooks (updated_at);

CREATE TABLE webhook_cursors (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    position INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook_nodes (
    node_id TEXT NOT NULL PRIMARY KEY,
    alive_until INTEGER NOT NULL
) STRICT;

CREATE TABLE webhook_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    webhook_id TEXT NOT NULL,
    event_position INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    event_key TEXT NOT NULL,
    status TEXT NOT NULL,
    cause TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    next_at INTEGER NOT NULL,
    owner TEXT NOT NULL,
    last_status INTEGER,
    last_error TEXT NOT NULL DEFAULT '',
    finished_at INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_deliveries_created ON webhook_deliveries (tenant_id, created_at, id);
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (webhook_id, status, next_at);
CREATE INDEX webhook_deliveries_owner ON webhook_deliveries (owner, status);

CREATE TABLE webhook_attempts (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    webhook_id TEXT NOT NULL,
    delivery_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    status_code INTEGER,
    detail TEXT NOT NULL,
    duration_ms INTEGER NOT NULL,
    url TEXT NOT NULL,
    peer TEXT NOT NULL,
    request_headers TEXT NOT NULL,
    response_headers TEXT NOT NULL,
    response_body TEXT NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_attempts_created ON webhook_attempts (tenant_id, created_at, id);
CREATE INDEX webhook_attempts_delivery ON webhook_attempts (delivery_id);
