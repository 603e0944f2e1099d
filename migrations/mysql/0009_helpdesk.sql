-- Tickets, their messages, attachments and tags; templates; service levels.

-- The first active policy by position whose conditions hold is a ticket's. targets: seconds by priority and clock.
CREATE TABLE ticket_slas (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(100) NOT NULL,
    description VARCHAR(500) NOT NULL DEFAULT '',
    position BIGINT NOT NULL,
    active BOOLEAN NOT NULL,
    conditions TEXT NOT NULL,
    targets TEXT NOT NULL,
    schedule VARCHAR(19) NOT NULL DEFAULT '',
    warn_before_s BIGINT NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX ticket_slas_created (tenant_id, created_at, id),
    INDEX ticket_slas_position (tenant_id, active, position, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- The number given out last; its row is the lock under which the next is given.
CREATE TABLE ticket_counters (
    tenant_id VARCHAR(20) NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- origin_key names what made the ticket (an event and a rule), so that it is made once; NULL: a person did. The sla
-- columns are written by the clocks only: due times, when each was missed, how long resolution has stood still in
-- working seconds, and when to look again.
CREATE TABLE tickets (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    number BIGINT NOT NULL,
    subject VARCHAR(200) NOT NULL,
    description MEDIUMTEXT NOT NULL,
    status VARCHAR(20) NOT NULL,
    priority VARCHAR(20) NOT NULL,
    channel VARCHAR(20) NOT NULL,
    queue VARCHAR(60) NOT NULL DEFAULT '',
    category VARCHAR(60) NOT NULL DEFAULT '',
    contact_id VARCHAR(26),
    assigned_to VARCHAR(26),
    created_by VARCHAR(26),
    call_id VARCHAR(26) NOT NULL DEFAULT '',
    chat_session_id VARCHAR(26) NOT NULL DEFAULT '',
    origin_key VARCHAR(190),
    due_at BIGINT,
    resolved_at BIGINT,
    closed_at BIGINT,
    reopened_count BIGINT NOT NULL DEFAULT 0,
    last_message_at BIGINT,
    waiting_since BIGINT,
    sla_policy_id VARCHAR(26),
    first_response_at BIGINT,
    first_response_due_at BIGINT,
    first_response_breached_at BIGINT,
    next_response_due_at BIGINT,
    next_response_breached_at BIGINT,
    resolution_due_at BIGINT,
    resolution_breached_at BIGINT,
    sla_paused_at BIGINT,
    sla_paused_total_s BIGINT NOT NULL DEFAULT 0,
    sla_check_at BIGINT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, number),
    UNIQUE (tenant_id, origin_key),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (assigned_to) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (sla_policy_id) REFERENCES ticket_slas (id) ON DELETE SET NULL,
    INDEX tickets_created (tenant_id, created_at, id),
    INDEX tickets_status (tenant_id, status, created_at, id),
    INDEX tickets_mine (tenant_id, assigned_to, status, created_at, id),
    INDEX tickets_of_contact (tenant_id, contact_id, created_at, id),
    INDEX tickets_call (tenant_id, call_id),
    INDEX tickets_chat (tenant_id, chat_session_id),
    INDEX tickets_contact (contact_id),
    INDEX tickets_assigned (assigned_to),
    INDEX tickets_creator (created_by),
    INDEX tickets_policy (sla_policy_id),
    INDEX tickets_check (sla_check_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- client_id is the sender's own id of a message, so that a repeat finds the first one.
CREATE TABLE ticket_messages (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    ticket_id VARCHAR(26) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    author_kind VARCHAR(20) NOT NULL,
    author_id VARCHAR(26) NOT NULL DEFAULT '',
    author_name VARCHAR(254) NOT NULL DEFAULT '',
    body MEDIUMTEXT NOT NULL,
    body_format VARCHAR(20) NOT NULL,
    client_id VARCHAR(64),
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (ticket_id, author_kind, client_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (ticket_id) REFERENCES tickets (id) ON DELETE CASCADE,
    INDEX ticket_messages_created (tenant_id, created_at, id),
    INDEX ticket_messages_ticket (tenant_id, ticket_id, created_at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE ticket_attachments (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    ticket_id VARCHAR(26) NOT NULL,
    message_id VARCHAR(26),
    file_name VARCHAR(255) NOT NULL,
    content_type VARCHAR(127) NOT NULL,
    bytes BIGINT NOT NULL,
    sha256 VARCHAR(64) NOT NULL,
    storage_key VARCHAR(255) NOT NULL,
    created_by VARCHAR(26),
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (ticket_id) REFERENCES tickets (id) ON DELETE CASCADE,
    FOREIGN KEY (message_id) REFERENCES ticket_messages (id) ON DELETE CASCADE,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL,
    INDEX ticket_attachments_created (tenant_id, created_at, id),
    INDEX ticket_attachments_ticket (ticket_id, created_at, id),
    INDEX ticket_attachments_message (message_id),
    INDEX ticket_attachments_creator (created_by)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE ticket_tags (
    ticket_id VARCHAR(26) NOT NULL,
    tag_id VARCHAR(26) NOT NULL,
    tenant_id VARCHAR(20) NOT NULL,
    created_at BIGINT NOT NULL,
    PRIMARY KEY (ticket_id, tag_id),
    FOREIGN KEY (ticket_id) REFERENCES tickets (id) ON DELETE CASCADE,
    FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE,
    INDEX ticket_tags_tag (tag_id),
    INDEX ticket_tags_tenant (tenant_id, tag_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE ticket_templates (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(100) NOT NULL,
    category VARCHAR(60) NOT NULL DEFAULT '',
    subject VARCHAR(200) NOT NULL DEFAULT '',
    body MEDIUMTEXT NOT NULL,
    priority VARCHAR(20) NOT NULL,
    tags TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, name, deleted_at),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX ticket_templates_created (tenant_id, created_at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
