-- Chat: widgets on web pages, conversations with their messages in order, transfers, agents' settings.

CREATE TABLE chat_widgets (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(100) NOT NULL,
    public_key VARCHAR(64) NOT NULL,
    queue VARCHAR(60) NOT NULL DEFAULT '',
    schedule VARCHAR(19) NOT NULL DEFAULT '',
    settings TEXT NOT NULL,
    allowed_origins TEXT NOT NULL,
    active BOOLEAN NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE (public_key),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX chat_widgets_created (tenant_id, created_at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- last_seq is the sequence number given out last; its row is the lock under which the next is given. token_hash is of
-- the visitor's opaque token. Who has read up to where only ever rises.
CREATE TABLE chat_sessions (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    widget_id VARCHAR(26) NOT NULL,
    visitor_id VARCHAR(64) NOT NULL,
    visitor_name VARCHAR(200) NOT NULL DEFAULT '',
    visitor_email VARCHAR(254) NOT NULL DEFAULT '',
    token_hash VARCHAR(64) NOT NULL DEFAULT '',
    contact_id VARCHAR(26),
    status VARCHAR(20) NOT NULL,
    queue VARCHAR(60) NOT NULL DEFAULT '',
    agent_id VARCHAR(26),
    queued_at BIGINT,
    assigned_at BIGINT,
    first_reply_at BIGINT,
    last_message_at BIGINT,
    ended_at BIGINT,
    ended_by VARCHAR(20) NOT NULL DEFAULT '',
    last_seq BIGINT NOT NULL DEFAULT 0,
    visitor_read_seq BIGINT NOT NULL DEFAULT 0,
    agent_read_seq BIGINT NOT NULL DEFAULT 0,
    rating BIGINT,
    rating_comment VARCHAR(1000) NOT NULL DEFAULT '',
    page_url VARCHAR(2048) NOT NULL DEFAULT '',
    locale VARCHAR(20) NOT NULL DEFAULT '',
    address VARCHAR(45) NOT NULL DEFAULT '',
    user_agent VARCHAR(255) NOT NULL DEFAULT '',
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (widget_id) REFERENCES chat_widgets (id) ON DELETE CASCADE,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (agent_id) REFERENCES users (id) ON DELETE SET NULL,
    INDEX chat_sessions_created (tenant_id, created_at, id),
    INDEX chat_sessions_status (tenant_id, status, created_at, id),
    INDEX chat_sessions_mine (tenant_id, agent_id, status, created_at, id),
    INDEX chat_sessions_visitor (tenant_id, visitor_id, created_at, id),
    INDEX chat_sessions_waiting (tenant_id, status, queued_at, id),
    INDEX chat_sessions_widget (widget_id),
    INDEX chat_sessions_contact (contact_id),
    INDEX chat_sessions_agent (agent_id),
    INDEX chat_sessions_token (token_hash)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Messages of a session, numbered from 1 without gaps. client_id is the sender's own id of a message, so that a repeat
-- finds the first one.
CREATE TABLE chat_messages (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    session_id VARCHAR(26) NOT NULL,
    seq BIGINT NOT NULL,
    client_id VARCHAR(64),
    sender_kind VARCHAR(20) NOT NULL,
    sender_id VARCHAR(64) NOT NULL DEFAULT '',
    sender_name VARCHAR(200) NOT NULL DEFAULT '',
    kind VARCHAR(20) NOT NULL,
    body TEXT NOT NULL,
    read_at BIGINT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    UNIQUE (session_id, seq),
    UNIQUE (session_id, sender_kind, client_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (session_id) REFERENCES chat_sessions (id) ON DELETE CASCADE,
    INDEX chat_messages_created (tenant_id, created_at, id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- To an agent, or to a queue that then chooses one.
CREATE TABLE chat_transfers (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    session_id VARCHAR(26) NOT NULL,
    from_agent_id VARCHAR(26),
    to_agent_id VARCHAR(26),
    to_queue VARCHAR(60) NOT NULL DEFAULT '',
    status VARCHAR(20) NOT NULL,
    note VARCHAR(500) NOT NULL DEFAULT '',
    answered_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (session_id) REFERENCES chat_sessions (id) ON DELETE CASCADE,
    FOREIGN KEY (from_agent_id) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (to_agent_id) REFERENCES users (id) ON DELETE SET NULL,
    INDEX chat_transfers_created (tenant_id, created_at, id),
    INDEX chat_transfers_session (session_id, created_at, id),
    INDEX chat_transfers_from (from_agent_id),
    INDEX chat_transfers_to (to_agent_id, status)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE chat_agents (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    user_id VARCHAR(26) NOT NULL,
    display_name VARCHAR(100) NOT NULL DEFAULT '',
    max_chats BIGINT NOT NULL,
    is_available BOOLEAN NOT NULL,
    accepts_transfers BOOLEAN NOT NULL,
    skills TEXT NOT NULL,
    last_assigned_at BIGINT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, user_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    INDEX chat_agents_created (tenant_id, created_at, id),
    INDEX chat_agents_available (tenant_id, is_available, last_assigned_at),
    INDEX chat_agents_user (user_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
