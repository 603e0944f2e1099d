-- Tickets, their messages, attachments and tags; templates; service levels.

-- The first active policy by position whose conditions hold is a ticket's. targets: seconds by priority and clock.
CREATE TABLE ticket_slas (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    description TEXT NOT NULL DEFAULT '',
    position INTEGER NOT NULL,
    active INTEGER NOT NULL,
    conditions TEXT NOT NULL,
    targets TEXT NOT NULL,
    schedule TEXT NOT NULL DEFAULT '',
    warn_before_s INTEGER NOT NULL DEFAULT 0,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX ticket_slas_created ON ticket_slas (tenant_id, created_at, id);
CREATE INDEX ticket_slas_position ON ticket_slas (tenant_id, active, position, id);

-- The number given out last; its row is the lock under which the next is given.
CREATE TABLE ticket_counters (
    tenant_id TEXT NOT NULL PRIMARY KEY,
    number INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

-- origin_key names what made the ticket (an event and a rule), so that it is made once; NULL: a person did. The sla
-- columns are written by the clocks only: due times, when each was missed, how long resolution has stood still in
-- working seconds, and when to look again.
CREATE TABLE tickets (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    subject TEXT NOT NULL,
    description TEXT NOT NULL,
    status TEXT NOT NULL,
    priority TEXT NOT NULL,
    channel TEXT NOT NULL,
    queue TEXT NOT NULL DEFAULT '',
    category TEXT NOT NULL DEFAULT '',
    contact_id TEXT,
    assigned_to TEXT,
    created_by TEXT,
    call_id TEXT NOT NULL DEFAULT '',
    chat_session_id TEXT NOT NULL DEFAULT '',
    origin_key TEXT,
    due_at INTEGER,
    resolved_at INTEGER,
    closed_at INTEGER,
    reopened_count INTEGER NOT NULL DEFAULT 0,
    last_message_at INTEGER,
    waiting_since INTEGER,
    sla_policy_id TEXT,
    first_response_at INTEGER,
    first_response_due_at INTEGER,
    first_response_breached_at INTEGER,
    next_response_due_at INTEGER,
    next_response_breached_at INTEGER,
    resolution_due_at INTEGER,
    resolution_breached_at INTEGER,
    sla_paused_at INTEGER,
    sla_paused_total_s INTEGER NOT NULL DEFAULT 0,
    sla_check_at INTEGER,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, number),
    UNIQUE (tenant_id, origin_key),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (assigned_to) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (sla_policy_id) REFERENCES ticket_slas (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX tickets_created ON tickets (tenant_id, created_at, id);
CREATE INDEX tickets_status ON tickets (tenant_id, status, created_at, id);
CREATE INDEX tickets_mine ON tickets (tenant_id, assigned_to, status, created_at, id);
CREATE INDEX tickets_of_contact ON tickets (tenant_id, contact_id, created_at, id);
CREATE INDEX tickets_call ON tickets (tenant_id, call_id);
CREATE INDEX tickets_chat ON tickets (tenant_id, chat_session_id);
CREATE INDEX tickets_contact ON tickets (contact_id);
CREATE INDEX tickets_assigned ON tickets (assigned_to);
CREATE INDEX tickets_creator ON tickets (created_by);
CREATE INDEX tickets_policy ON tickets (sla_policy_id);
CREATE INDEX tickets_check ON tickets (sla_check_at);

-- client_id is the sender's own id of a message, so that a repeat finds the first one.
CREATE TABLE ticket_messages (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    author_kind TEXT NOT NULL,
    author_id TEXT NOT NULL DEFAULT '',
    author_name TEXT NOT NULL DEFAULT '',
    body TEXT NOT NULL,
    body_format TEXT NOT NULL,
    client_id TEXT,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (ticket_id, author_kind, client_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (ticket_id) REFERENCES tickets (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX ticket_messages_created ON ticket_messages (tenant_id, created_at, id);
CREATE INDEX ticket_messages_ticket ON ticket_messages (tenant_id, ticket_id, created_at, id);

CREATE TABLE ticket_attachments (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    ticket_id TEXT NOT NULL,
    message_id TEXT,
    file_name TEXT NOT NULL,
    content_type TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL,
    storage_key TEXT NOT NULL,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (ticket_id) REFERENCES tickets (id) ON DELETE CASCADE,
    FOREIGN KEY (message_id) REFERENCES ticket_messages (id) ON DELETE CASCADE,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX ticket_attachments_created ON ticket_attachments (tenant_id, created_at, id);
CREATE INDEX ticket_attachments_ticket ON ticket_attachments (ticket_id, created_at, id);
CREATE INDEX ticket_attachments_message ON ticket_attachments (message_id);
CREATE INDEX ticket_attachments_creator ON ticket_attachments (created_by);

CREATE TABLE ticket_tags (
    ticket_id TEXT NOT NULL,
    tag_id TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (ticket_id, tag_id),
    FOREIGN KEY (ticket_id) REFERENCES tickets (id) ON DELETE CASCADE,
    FOREIGN KEY (tag_id) REFERENCES tags (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX ticket_tags_tag ON ticket_tags (tag_id);
CREATE INDEX ticket_tags_tenant ON ticket_tags (tenant_id, tag_id);

CREATE TABLE ticket_templates (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    category TEXT NOT NULL DEFAULT '',
    subject TEXT NOT NULL DEFAULT '',
    body TEXT NOT NULL,
    priority TEXT NOT NULL,
    tags TEXT NOT NULL,
    active INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, name, deleted_at),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX ticket_templates_created ON ticket_templates (tenant_id, created_at, id);
