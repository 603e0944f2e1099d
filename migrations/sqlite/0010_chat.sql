-- Chat: widgets on web pages, conversations with their messages in order, transfers, agents' settings.

CREATE TABLE chat_widgets (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    public_key TEXT NOT NULL,
    queue TEXT NOT NULL DEFAULT '',
    schedule TEXT NOT NULL DEFAULT '',
    settings TEXT NOT NULL,
    allowed_origins TEXT NOT NULL,
    active INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (public_key),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX chat_widgets_created ON chat_widgets (tenant_id, created_at, id);

-- last_seq is the sequence number given out last; its row is the lock under which the next is given. token_hash is of
-- the visitor's opaque token. Who has read up to where only ever rises.
CREATE TABLE chat_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    widget_id TEXT NOT NULL,
    visitor_id TEXT NOT NULL,
    visitor_name TEXT NOT NULL DEFAULT '',
    visitor_email TEXT NOT NULL DEFAULT '',
    token_hash TEXT NOT NULL DEFAULT '',
    contact_id TEXT,
    status TEXT NOT NULL,
    queue TEXT NOT NULL DEFAULT '',
    agent_id TEXT,
    queued_at INTEGER,
    assigned_at INTEGER,
    first_reply_at INTEGER,
    last_message_at INTEGER,
    ended_at INTEGER,
    ended_by TEXT NOT NULL DEFAULT '',
    last_seq INTEGER NOT NULL DEFAULT 0,
    visitor_read_seq INTEGER NOT NULL DEFAULT 0,
    agent_read_seq INTEGER NOT NULL DEFAULT 0,
    rating INTEGER,
    rating_comment TEXT NOT NULL DEFAULT '',
    page_url TEXT NOT NULL DEFAULT '',
    locale TEXT NOT NULL DEFAULT '',
    address TEXT NOT NULL DEFAULT '',
    user_agent TEXT NOT NULL DEFAULT '',
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (widget_id) REFERENCES chat_widgets (id) ON DELETE CASCADE,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (agent_id) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX chat_sessions_created ON chat_sessions (tenant_id, created_at, id);
CREATE INDEX chat_sessions_status ON chat_sessions (tenant_id, status, created_at, id);
CREATE INDEX chat_sessions_mine ON chat_sessions (tenant_id, agent_id, status, created_at, id);
CREATE INDEX chat_sessions_visitor ON chat_sessions (tenant_id, visitor_id, created_at, id);
CREATE INDEX chat_sessions_waiting ON chat_sessions (tenant_id, status, queued_at, id);
CREATE INDEX chat_sessions_widget ON chat_sessions (widget_id);
CREATE INDEX chat_sessions_contact ON chat_sessions (contact_id);
CREATE INDEX chat_sessions_agent ON chat_sessions (agent_id);
CREATE INDEX chat_sessions_token ON chat_sessions (token_hash);

-- Messages of a session, numbered from 1 without gaps. client_id is the sender's own id of a message, so that a repeat
-- finds the first one.
CREATE TABLE chat_messages (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    seq INTEGER NOT NULL,
    client_id TEXT,
    sender_kind TEXT NOT NULL,
    sender_id TEXT NOT NULL DEFAULT '',
    sender_name TEXT NOT NULL DEFAULT '',
    kind TEXT NOT NULL,
    body TEXT NOT NULL,
    read_at INTEGER,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    UNIQUE (session_id, seq),
    UNIQUE (session_id, sender_kind, client_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (session_id) REFERENCES chat_sessions (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX chat_messages_created ON chat_messages (tenant_id, created_at, id);

-- To an agent, or to a queue that then chooses one.
CREATE TABLE chat_transfers (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    from_agent_id TEXT,
    to_agent_id TEXT,
    to_queue TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    answered_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (session_id) REFERENCES chat_sessions (id) ON DELETE CASCADE,
    FOREIGN KEY (from_agent_id) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (to_agent_id) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX chat_transfers_created ON chat_transfers (tenant_id, created_at, id);
CREATE INDEX chat_transfers_session ON chat_transfers (session_id, created_at, id);
CREATE INDEX chat_transfers_from ON chat_transfers (from_agent_id);
CREATE INDEX chat_transfers_to ON chat_transfers (to_agent_id, status);

CREATE TABLE chat_agents (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    display_name TEXT NOT NULL DEFAULT '',
    max_chats INTEGER NOT NULL,
    is_available INTEGER NOT NULL,
    accepts_transfers INTEGER NOT NULL,
    skills TEXT NOT NULL,
    last_assigned_at INTEGER,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, user_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX chat_agents_created ON chat_agents (tenant_id, created_at, id);
CREATE INDEX chat_agents_available ON chat_agents (tenant_id, is_available, last_assigned_at);
CREATE INDEX chat_agents_user ON chat_agents (user_id);
