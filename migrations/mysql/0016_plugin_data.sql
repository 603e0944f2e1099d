-- What plugins keep, and how far ticketers have come in their tenant's events. Rows go with their plugin's housekeeping: a
-- run that is under way must not wait for a foreign key.

CREATE TABLE plugin_kv (
    tenant_id VARCHAR(20) NOT NULL,
    plugin_id VARCHAR(26) NOT NULL,
    name VARCHAR(100) NOT NULL,
    value TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (plugin_id, name),
    KEY plugin_kv_tenant (tenant_id),
    KEY plugin_kv_expires (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The node that shows a ticketer its events holds a lease; an event that failed is shown again at retry_at.
CREATE TABLE plugin_cursors (
    plugin_id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    position BIGINT NOT NULL,
    attempts BIGINT NOT NULL,
    retry_at BIGINT NOT NULL,
    node VARCHAR(26) NOT NULL,
    leased_until BIGINT NOT NULL,
    KEY plugin_cursors_tenant (tenant_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
