-- Tenants, and the version of each tenant's routing data that other processes watch.
-- Times are microseconds since 1970 UTC. deleted_at is 0 while the row lives, so that it can stand in unique keys.

CREATE TABLE tenants (
    id TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    language TEXT NOT NULL,
    zone TEXT NOT NULL,
    max_agents INTEGER NOT NULL,
    max_dids INTEGER NOT NULL,
    max_concurrent_calls INTEGER NOT NULL,
    features TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX tenants_status ON tenants (status);

CREATE TABLE routing_versions (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    version INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
