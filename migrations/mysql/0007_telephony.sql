-- What the API adds to tenants and queues; lists of earlier tables in order of creation; call detail records,
-- recordings, agents' states, sockets, text messages, voicemails.

ALTER TABLE tenants
    ADD COLUMN plan VARCHAR(40) NOT NULL DEFAULT '',
    ADD COLUMN contact_email VARCHAR(254) NOT NULL DEFAULT '',
    ADD COLUMN settings TEXT NOT NULL DEFAULT ('{}'),
    ADD COLUMN max_endpoints BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN max_queues BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN max_storage_mib BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN trial_ends_at BIGINT,
    ADD COLUMN suspended_reason VARCHAR(200) NOT NULL DEFAULT '',
    ADD COLUMN deletion_requested_at BIGINT,
    ADD INDEX tenants_created (created_at, id);

-- app_queue's settings with its own defaults, but for service_level_s (none there) and ring_in_use (yes there, which
-- rings agents who are talking).
ALTER TABLE queues
    ADD COLUMN timeout_s BIGINT NOT NULL DEFAULT 15,
    ADD COLUMN retry_s BIGINT NOT NULL DEFAULT 5,
    ADD COLUMN wrapup_s BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN max_len BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN service_level_s BIGINT NOT NULL DEFAULT 20,
    ADD COLUMN weight BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN music_class VARCHAR(80) NOT NULL DEFAULT '',
    ADD COLUMN announce_frequency_s BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN announce_position VARCHAR(10) NOT NULL DEFAULT 'no',
    ADD COLUMN announce_holdtime VARCHAR(10) NOT NULL DEFAULT 'no',
    ADD COLUMN periodic_announce VARCHAR(50) NOT NULL DEFAULT '',
    ADD COLUMN periodic_announce_frequency_s BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN join_empty VARCHAR(128) NOT NULL DEFAULT 'yes',
    ADD COLUMN leave_when_empty VARCHAR(128) NOT NULL DEFAULT 'no',
    ADD COLUMN ring_in_use BOOLEAN NOT NULL DEFAULT 0,
    ADD COLUMN autopause VARCHAR(5) NOT NULL DEFAULT 'no',
    ADD COLUMN record BOOLEAN NOT NULL DEFAULT 0,
    ADD INDEX queues_created (tenant_id, created_at, id);

ALTER TABLE queue_members
    ADD COLUMN user_id VARCHAR(26),
    ADD FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL,
    ADD COLUMN paused BOOLEAN NOT NULL DEFAULT 0,
    ADD COLUMN pause_reason VARCHAR(80) NOT NULL DEFAULT '',
    ADD INDEX queue_members_endpoint (endpoint_id),
    ADD INDEX queue_members_user (user_id),
    ADD INDEX queue_members_created (tenant_id, created_at, id);

ALTER TABLE schedules ADD INDEX schedules_created (tenant_id, created_at, id);
ALTER TABLE dids ADD INDEX dids_created (tenant_id, created_at, id);
ALTER TABLE number_rules ADD INDEX number_rules_created (tenant_id, created_at, id);
ALTER TABLE ivr_menus ADD INDEX ivr_menus_created (tenant_id, created_at, id);
ALTER TABLE mailboxes ADD INDEX mailboxes_created (tenant_id, created_at, id);
ALTER TABLE endpoints ADD INDEX endpoints_created (tenant_id, created_at, id);
ALTER TABLE outbound_rules ADD INDEX outbound_rules_created (tenant_id, created_at, id);

-- A recording's file is under storage_key; deleted_at with an empty storage_key: the file is gone too. call_id has no
-- foreign key: recordings outlive the call's row.
CREATE TABLE call_recordings (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    call_id VARCHAR(26) NOT NULL,
    linkedid VARCHAR(150) NOT NULL DEFAULT '',
    agent_id VARCHAR(26),
    queue VARCHAR(19) NOT NULL DEFAULT '',
    status VARCHAR(20) NOT NULL,
    format VARCHAR(10) NOT NULL,
    storage_key VARCHAR(255) NOT NULL DEFAULT '',
    bytes BIGINT NOT NULL DEFAULT 0,
    duration_ms BIGINT NOT NULL DEFAULT 0,
    sha256 VARCHAR(64) NOT NULL DEFAULT '',
    error VARCHAR(200) NOT NULL DEFAULT '',
    legal_hold BOOLEAN NOT NULL DEFAULT 0,
    started_at BIGINT NOT NULL,
    ended_at BIGINT,
    expires_at BIGINT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (agent_id) REFERENCES users (id) ON DELETE SET NULL,
    INDEX call_recordings_created (tenant_id, created_at, id),
    INDEX call_recordings_status (tenant_id, status, created_at, id),
    INDEX call_recordings_call (tenant_id, call_id),
    INDEX call_recordings_agent (agent_id),
    INDEX call_recordings_expires (expires_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- call_id has no foreign key: a detail record outlives the call's row and its trace.
CREATE TABLE cdrs (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    call_id VARCHAR(26) NOT NULL,
    linkedid VARCHAR(150) NOT NULL,
    uniqueid VARCHAR(150) NOT NULL,
    direction VARCHAR(10) NOT NULL,
    did VARCHAR(80) NOT NULL DEFAULT '',
    caller_number VARCHAR(80) NOT NULL DEFAULT '',
    caller_name VARCHAR(200) NOT NULL DEFAULT '',
    destination VARCHAR(150) NOT NULL DEFAULT '',
    channel VARCHAR(120) NOT NULL DEFAULT '',
    dst_channel VARCHAR(120) NOT NULL DEFAULT '',
    queue VARCHAR(19) NOT NULL DEFAULT '',
    endpoint VARCHAR(19) NOT NULL DEFAULT '',
    agent_id VARCHAR(26),
    contact_id VARCHAR(26),
    recording_id VARCHAR(26),
    started_at BIGINT NOT NULL,
    answered_at BIGINT,
    ended_at BIGINT NOT NULL,
    duration_s BIGINT NOT NULL,
    billed_s BIGINT NOT NULL,
    disposition VARCHAR(20) NOT NULL,
    cause BIGINT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (agent_id) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (recording_id) REFERENCES call_recordings (id) ON DELETE SET NULL,
    INDEX cdrs_started (tenant_id, started_at, id),
    INDEX cdrs_did (tenant_id, did, started_at, id),
    INDEX cdrs_agent (tenant_id, agent_id, started_at, id),
    INDEX cdrs_call (tenant_id, call_id),
    INDEX cdrs_linkedid (linkedid),
    INDEX cdrs_user (agent_id),
    INDEX cdrs_contact (contact_id),
    INDEX cdrs_recording (recording_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE agent_states (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    user_id VARCHAR(26) NOT NULL,
    state VARCHAR(20) NOT NULL,
    reason VARCHAR(80) NOT NULL DEFAULT '',
    since BIGINT NOT NULL,
    endpoint_id VARCHAR(26),
    extension VARCHAR(19) NOT NULL DEFAULT '',
    call_id VARCHAR(26) NOT NULL DEFAULT '',
    max_calls BIGINT NOT NULL DEFAULT 1,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, user_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) ON DELETE SET NULL,
    INDEX agent_states_created (tenant_id, created_at, id),
    INDEX agent_states_state (tenant_id, state, created_at, id),
    INDEX agent_states_user (user_id),
    INDEX agent_states_endpoint (endpoint_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Open and past sockets. A row without disconnected_at whose last_seen_at is old belongs to a node that died.
CREATE TABLE websocket_sessions (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    user_id VARCHAR(26),
    api_key_id VARCHAR(26) NOT NULL DEFAULT '',
    node_id VARCHAR(26) NOT NULL,
    address VARCHAR(45) NOT NULL DEFAULT '',
    user_agent VARCHAR(255) NOT NULL DEFAULT '',
    subscriptions TEXT NOT NULL,
    connected_at BIGINT NOT NULL,
    last_seen_at BIGINT NOT NULL,
    disconnected_at BIGINT,
    close_code BIGINT,
    close_reason VARCHAR(123) NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    INDEX websocket_sessions_created (tenant_id, created_at, id),
    INDEX websocket_sessions_user (user_id),
    INDEX websocket_sessions_seen (last_seen_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- next_attempt_at is when a message that waits is sent (again); NULL: never.
CREATE TABLE sms_messages (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    direction VARCHAR(10) NOT NULL,
    from_number VARCHAR(20) NOT NULL,
    to_number VARCHAR(20) NOT NULL,
    body TEXT NOT NULL,
    status VARCHAR(20) NOT NULL,
    encoding VARCHAR(10) NOT NULL,
    segments BIGINT NOT NULL,
    provider VARCHAR(40) NOT NULL DEFAULT '',
    provider_id VARCHAR(128) NOT NULL DEFAULT '',
    error VARCHAR(200) NOT NULL DEFAULT '',
    attempts BIGINT NOT NULL DEFAULT 0,
    next_attempt_at BIGINT,
    sent_at BIGINT,
    delivered_at BIGINT,
    contact_id VARCHAR(26),
    user_id VARCHAR(26),
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL,
    INDEX sms_messages_created (tenant_id, created_at, id),
    INDEX sms_messages_status (tenant_id, status, created_at, id),
    INDEX sms_messages_provider (provider, provider_id),
    INDEX sms_messages_contact (contact_id),
    INDEX sms_messages_user (user_id),
    INDEX sms_messages_next (next_attempt_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- A message stays when its mailbox goes, so that its file is not forgotten: mailbox keeps the name. storage_key may be
-- empty while the sound is still with Asterisk.
CREATE TABLE voicemails (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    mailbox_id VARCHAR(26),
    mailbox VARCHAR(19) NOT NULL,
    folder VARCHAR(20) NOT NULL,
    caller_number VARCHAR(80) NOT NULL DEFAULT '',
    caller_name VARCHAR(200) NOT NULL DEFAULT '',
    call_id VARCHAR(26) NOT NULL DEFAULT '',
    contact_id VARCHAR(26),
    message_id VARCHAR(40) NOT NULL DEFAULT '',
    storage_key VARCHAR(255) NOT NULL DEFAULT '',
    format VARCHAR(10) NOT NULL DEFAULT '',
    bytes BIGINT NOT NULL DEFAULT 0,
    duration_ms BIGINT NOT NULL DEFAULT 0,
    sha256 VARCHAR(64) NOT NULL DEFAULT '',
    transcript TEXT NOT NULL,
    is_read BOOLEAN NOT NULL DEFAULT 0,
    read_at BIGINT,
    received_at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (mailbox_id) REFERENCES mailboxes (id) ON DELETE SET NULL,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    INDEX voicemails_created (tenant_id, created_at, id),
    INDEX voicemails_mailbox (tenant_id, mailbox, created_at, id),
    INDEX voicemails_unread (tenant_id, is_read, created_at, id),
    INDEX voicemails_message (tenant_id, message_id),
    INDEX voicemails_box (mailbox_id),
    INDEX voicemails_contact (contact_id)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
