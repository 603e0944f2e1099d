-- Tenants, and the version of each tenant's routing data that other processes watch.
-- Times are microseconds since 1970 UTC. deleted_at is 0 while the row lives, so that it can stand in unique keys.

CREATE TABLE tenants (
    id VARCHAR(20) NOT NULL PRIMARY KEY,
    name VARCHAR(200) NOT NULL,
    status VARCHAR(20) NOT NULL,
    language VARCHAR(20) NOT NULL,
    zone VARCHAR(64) NOT NULL,
    max_agents BIGINT NOT NULL,
    max_dids BIGINT NOT NULL,
    max_concurrent_calls BIGINT NOT NULL,
    features TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX tenants_status ON tenants (status);

CREATE TABLE routing_versions (
    tenant_id VARCHAR(20) NOT NULL PRIMARY KEY,
    version BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
