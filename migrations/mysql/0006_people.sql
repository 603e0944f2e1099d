-- Contacts and their tags, the audit log, answers kept for repeated requests, imports.

CREATE TABLE contacts (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    first_name VARCHAR(100) NOT NULL DEFAULT '',
    last_name VARCHAR(100) NOT NULL DEFAULT '',
    company VARCHAR(200) NOT NULL DEFAULT '',
    job_title VARCHAR(100) NOT NULL DEFAULT '',
    email VARCHAR(254) NOT NULL DEFAULT '',
    phone VARCHAR(16) NOT NULL DEFAULT '',
    notes TEXT NOT NULL,
    assigned_to VARCHAR(26),
    source VARCHAR(40) NOT NULL DEFAULT '',
    language VARCHAR(20) NOT NULL DEFAULT '',
    external_id VARCHAR(120) NOT NULL DEFAULT '',
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (assigned_to) REFERENCES users (id) ON DELETE SET NULL,
    INDEX contacts_created (tenant_id, created_at, id),
    INDEX contacts_phone (tenant_id, phone),
    INDEX contacts_email (tenant_id, email),
    INDEX contacts_external (tenant_id, external_id),
    INDEX contacts_assigned (assigned_to)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Further numbers of a contact, in order.
CREATE TABLE contact_phones (
    contact_id VARCHAR(26) NOT NULL,
    tenant_id VARCHAR(20) NOT NULL,
    number VARCHAR(16) NOT NULL,
    position BIGINT NOT NULL,
    PRIMARY KEY (contact_id, position),
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE CASCADE,
    INDEX contact_phones_number (tenant_id, number)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE tags (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(60) NOT NULL,
    color VARCHAR(7) NOT NULL DEFAULT '',
    description VARCHAR(200) NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX tags_created (tenant_id, created_at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE contact_tags (
    contact_id VARCHAR(26) NOT NULL,
    tag_id VARCHAR(26) NOT NULL,
    tenant_id VARCHAR(20) NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (contact_id, tag_id),
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE CASCADE,
    FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE,
    INDEX contact_tags_tag (tag_id),
    INDEX contact_tags_tenant (tenant_id, tag_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Who changed what: one chain of hashes per tenant, without gaps. No foreign key: the log outlives tenants and users.
-- tenant_id is empty for what concerns the platform.
CREATE TABLE audit_logs (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL DEFAULT '',
    sequence BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor_kind VARCHAR(20) NOT NULL,
    actor_id VARCHAR(26) NOT NULL DEFAULT '',
    actor_name VARCHAR(254) NOT NULL DEFAULT '',
    role VARCHAR(20) NOT NULL DEFAULT '',
    address VARCHAR(45) NOT NULL DEFAULT '',
    user_agent VARCHAR(255) NOT NULL DEFAULT '',
    request_id VARCHAR(64) NOT NULL DEFAULT '',
    action VARCHAR(80) NOT NULL,
    object_type VARCHAR(40) NOT NULL DEFAULT '',
    object_id VARCHAR(128) NOT NULL DEFAULT '',
    old_values MEDIUMTEXT,
    new_values MEDIUMTEXT,
    prev_hash VARCHAR(64) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    UNIQUE (tenant_id, sequence),
    INDEX audit_logs_at (tenant_id, at, id),
    INDEX audit_logs_object (tenant_id, object_type, object_id, at, id),
    INDEX audit_logs_actor (tenant_id, actor_id, at, id),
    INDEX audit_logs_action (tenant_id, action, at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The end of each chain; its row is the lock under which the next entry is made.
CREATE TABLE audit_heads (
    tenant_id VARCHAR(20) NOT NULL PRIMARY KEY,
    sequence BIGINT NOT NULL,
    hash VARCHAR(64) NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Answers kept for repeated requests; status is NULL while the first one runs. No foreign key: tenant_id is empty for
-- requests of the platform, and rows go by age.
CREATE TABLE idempotency_keys (
    tenant_id VARCHAR(20) NOT NULL,
    actor_id VARCHAR(26) NOT NULL,
    key_text VARCHAR(255) NOT NULL,
    method VARCHAR(10) NOT NULL,
    path VARCHAR(2048) NOT NULL,
    request_hash VARCHAR(64) NOT NULL,
    status BIGINT,
    location TEXT,
    body MEDIUMTEXT,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (tenant_id, actor_id, key_text),
    INDEX idempotency_keys_created (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE imports (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    kind VARCHAR(40) NOT NULL,
    status VARCHAR(20) NOT NULL,
    file_name VARCHAR(255) NOT NULL DEFAULT '',
    total BIGINT NOT NULL DEFAULT 0,
    done BIGINT NOT NULL DEFAULT 0,
    created_count BIGINT NOT NULL DEFAULT 0,
    updated_count BIGINT NOT NULL DEFAULT 0,
    failed_count BIGINT NOT NULL DEFAULT 0,
    report MEDIUMTEXT NOT NULL,
    created_by VARCHAR(26),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    finished_at BIGINT,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL,
    INDEX imports_created (tenant_id, created_at, id),
    INDEX imports_creator (created_by)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
