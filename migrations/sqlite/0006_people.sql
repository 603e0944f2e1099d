-- Contacts and their tags, the audit log, answers kept for repeated requests, imports.

CREATE TABLE contacts (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    first_name TEXT NOT NULL DEFAULT '',
    last_name TEXT NOT NULL DEFAULT '',
    company TEXT NOT NULL DEFAULT '',
    job_title TEXT NOT NULL DEFAULT '',
    email TEXT NOT NULL DEFAULT '',
    phone TEXT NOT NULL DEFAULT '',
    notes TEXT NOT NULL,
    assigned_to TEXT,
    source TEXT NOT NULL DEFAULT '',
    language TEXT NOT NULL DEFAULT '',
    external_id TEXT NOT NULL DEFAULT '',
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (assigned_to) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX contacts_created ON contacts (tenant_id, created_at, id);
CREATE INDEX contacts_phone ON contacts (tenant_id, phone);
CREATE INDEX contacts_email ON contacts (tenant_id, email);
CREATE INDEX contacts_external ON contacts (tenant_id, external_id);
CREATE INDEX contacts_assigned ON contacts (assigned_to);

-- Further numbers of a contact, in order.
CREATE TABLE contact_phones (
    contact_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    number TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (contact_id, position),
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX contact_phones_number ON contact_phones (tenant_id, number);

CREATE TABLE tags (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    color TEXT NOT NULL DEFAULT '',
    description TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX tags_created ON tags (tenant_id, created_at, id);

CREATE TABLE contact_tags (
    contact_id TEXT NOT NULL,
    tag_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (contact_id, tag_id),
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE CASCADE,
    FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX contact_tags_tag ON contact_tags (tag_id);
CREATE INDEX contact_tags_tenant ON contact_tags (tenant_id, tag_id);

-- Who changed what: one chain of hashes per tenant, without gaps. No foreign key: the log outlives tenants and users.
-- tenant_id is empty for what concerns the platform.
CREATE TABLE audit_logs (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL DEFAULT '',
    sequence INTEGER NOT NULL,
    at INTEGER NOT NULL,
    actor_kind TEXT NOT NULL,
    actor_id TEXT NOT NULL DEFAULT '',
    actor_name TEXT NOT NULL DEFAULT '',
    role TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    user_agent TEXT NOT NULL DEFAULT '',
    request_id TEXT NOT NULL DEFAULT '',
    action TEXT NOT NULL,
    object_type TEXT NOT NULL DEFAULT '',
    object_id TEXT NOT NULL DEFAULT '',
    old_values TEXT,
    new_values TEXT,
    prev_hash TEXT NOT NULL,
    hash TEXT NOT NULL,
    UNIQUE (tenant_id, sequence)
) STRICT;
CREATE INDEX audit_logs_at ON audit_logs (tenant_id, at, id);
CREATE INDEX audit_logs_object ON audit_logs (tenant_id, object_type, object_id, at, id);
CREATE INDEX audit_logs_actor ON audit_logs (tenant_id, actor_id, at, id);
CREATE INDEX audit_logs_action ON audit_logs (tenant_id, action, at, id);

-- The end of each chain; its row is the lock under which the next entry is made.
CREATE TABLE audit_heads (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    sequence INTEGER NOT NULL,
    hash TEXT NOT NULL
) STRICT;

-- Answers kept for repeated requests; status is NULL while the first one runs. No foreign key: tenant_id is empty for
-- requests of the platform, and rows go by age.
CREATE TABLE idempotency_keys (
    tenant_id TEXT NOT NULL,
    actor_id TEXT NOT NULL,
    key_text TEXT NOT NULL,
    method TEXT NOT NULL,
    path TEXT NOT NULL,
    request_hash TEXT NOT NULL,
    status INTEGER,
    location TEXT,
    body TEXT,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (tenant_id, actor_id, key_text)
) STRICT;
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);

CREATE TABLE imports (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL,
    file_name TEXT NOT NULL DEFAULT '',
    total INTEGER NOT NULL DEFAULT 0,
    done INTEGER NOT NULL DEFAULT 0,
    created_count INTEGER NOT NULL DEFAULT 0,
    updated_count INTEGER NOT NULL DEFAULT 0,
    failed_count INTEGER NOT NULL DEFAULT 0,
    report TEXT NOT NULL,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    finished_at INTEGER,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX imports_created ON imports (tenant_id, created_at, id);
CREATE INDEX imports_creator ON imports (created_by);
