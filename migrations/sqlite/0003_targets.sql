-- Where calls can end: endpoints, queues and their members, mailboxes; and what endpoints may dial.

CREATE TABLE mailboxes (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    email TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE endpoints (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    status TEXT NOT NULL,
    mailbox TEXT NOT NULL DEFAULT '',
    caller_number TEXT NOT NULL DEFAULT '',
    ring_timeout_s INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE queues (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    extension TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL,
    strategy TEXT NOT NULL,
    max_wait_s INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE queue_members (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    queue_id TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    penalty INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (queue_id, endpoint_id),
    FOREIGN KEY (queue_id) REFERENCES queues (id) ON DELETE CASCADE,
    FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX queue_members_tenant ON queue_members (tenant_id);

-- What endpoints of a tenant may dial outside, the longest matching prefix decides.
CREATE TABLE outbound_rules (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    prefix TEXT NOT NULL,
    allowed INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, prefix),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
