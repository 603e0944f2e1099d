-- What plugins keep, and how far ticketers have come in their tenant's events. Rows go with their plugin's housekeeping: a
-- run that is under way must not wait for a foreign key.

CREATE TABLE plugin_kv (
    tenant_id TEXT NOT NULL,
    plugin_id TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (plugin_id, name)
) STRICT;
CREATE INDEX plugin_kv_tenant ON plugin_kv (tenant_id);
CREATE INDEX plugin_kv_expires ON plugin_kv (expires_at);

-- The node that shows a ticketer its events holds a lease; an event that failed is shown again at retry_at.
CREATE TABLE plugin_cursors (
    plugin_id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    position INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    retry_at INTEGER NOT NULL,
    node TEXT NOT NULL,
    leased_until INTEGER NOT NULL
) STRICT;
CREATE INDEX plugin_cursors_tenant ON plugin_cursors (tenant_id);
