-- What the API adds to tenants and queues; lists of earlier tables in order of creation; call detail records,
-- recordings, agents' states, sockets, text messages, voicemails.

ALTER TABLE tenants ADD COLUMN plan TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN contact_email TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN settings TEXT NOT NULL DEFAULT '{}';
ALTER TABLE tenants ADD COLUMN max_endpoints INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN max_queues INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN max_storage_mib INTEGER NOT NULL DEFAULT 0;
ALTER TABLE tenants ADD COLUMN trial_ends_at INTEGER;
ALTER TABLE tenants ADD COLUMN suspended_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE tenants ADD COLUMN deletion_requested_at INTEGER;

-- app_queue's settings with its own defaults, but for service_level_s (none there) and ring_in_use (yes there, which
-- rings agents who are talking).
ALTER TABLE queues ADD COLUMN timeout_s INTEGER NOT NULL DEFAULT 15;
ALTER TABLE queues ADD COLUMN retry_s INTEGER NOT NULL DEFAULT 5;
ALTER TABLE queues ADD COLUMN wrapup_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN max_len INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN service_level_s INTEGER NOT NULL DEFAULT 20;
ALTER TABLE queues ADD COLUMN weight INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN music_class TEXT NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN announce_frequency_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN announce_position TEXT NOT NULL DEFAULT 'no';
ALTER TABLE queues ADD COLUMN announce_holdtime TEXT NOT NULL DEFAULT 'no';
ALTER TABLE queues ADD COLUMN periodic_announce TEXT NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN periodic_announce_frequency_s INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN join_empty TEXT NOT NULL DEFAULT 'yes';
ALTER TABLE queues ADD COLUMN leave_when_empty TEXT NOT NULL DEFAULT 'no';
ALTER TABLE queues ADD COLUMN ring_in_use INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queues ADD COLUMN autopause TEXT NOT NULL DEFAULT 'no';
ALTER TABLE queues ADD COLUMN record INTEGER NOT NULL DEFAULT 0;

ALTER TABLE queue_members ADD COLUMN user_id TEXT REFERENCES users (id) ON DELETE SET NULL;
ALTER TABLE queue_members ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_members ADD COLUMN pause_reason TEXT NOT NULL DEFAULT '';
CREATE INDEX queue_members_endpoint ON queue_members (endpoint_id);
CREATE INDEX queue_members_user ON queue_members (user_id);

CREATE INDEX tenants_created ON tenants (created_at, id);
CREATE INDEX schedules_created ON schedules (tenant_id, created_at, id);
CREATE INDEX dids_created ON dids (tenant_id, created_at, id);
CREATE INDEX number_rules_created ON number_rules (tenant_id, created_at, id);
CREATE INDEX ivr_menus_created ON ivr_menus (tenant_id, created_at, id);
CREATE INDEX mailboxes_created ON mailboxes (tenant_id, created_at, id);
CREATE INDEX endpoints_created ON endpoints (tenant_id, created_at, id);
CREATE INDEX queues_created ON queues (tenant_id, created_at, id);
CREATE INDEX queue_members_created ON queue_members (tenant_id, created_at, id);
CREATE INDEX outbound_rules_created ON outbound_rules (tenant_id, created_at, id);

-- A recording's file is under storage_key; deleted_at with an empty storage_key: the file is gone too. call_id has no
-- foreign key: recordings outlive the call's row.
CREATE TABLE call_recordings (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    linkedid TEXT NOT NULL DEFAULT '',
    agent_id TEXT,
    queue TEXT NOT NULL DEFAULT '',
    status TEXT NOT NULL,
    format TEXT NOT NULL,
    storage_key TEXT NOT NULL DEFAULT '',
    bytes INTEGER NOT NULL DEFAULT 0,
    duration_ms INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    legal_hold INTEGER NOT NULL DEFAULT 0,
    started_at INTEGER NOT NULL,
    ended_at INTEGER,
    expires_at INTEGER,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (agent_id) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX call_recordings_created ON call_recordings (tenant_id, created_at, id);
CREATE INDEX call_recordings_status ON call_recordings (tenant_id, status, created_at, id);
CREATE INDEX call_recordings_call ON call_recordings (tenant_id, call_id);
CREATE INDEX call_recordings_agent ON call_recordings (agent_id);
CREATE INDEX call_recordings_expires ON call_recordings (expires_at);

-- call_id has no foreign key: a detail record outlives the call's row and its trace.
CREATE TABLE cdrs (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    call_id TEXT NOT NULL,
    linkedid TEXT NOT NULL,
    uniqueid TEXT NOT NULL,
    direction TEXT NOT NULL,
    did TEXT NOT NULL DEFAULT '',
    caller_number TEXT NOT NULL DEFAULT '',
    caller_name TEXT NOT NULL DEFAULT '',
    destination TEXT NOT NULL DEFAULT '',
    channel TEXT NOT NULL DEFAULT '',
    dst_channel TEXT NOT NULL DEFAULT '',
    queue TEXT NOT NULL DEFAULT '',
    endpoint TEXT NOT NULL DEFAULT '',
    agent_id TEXT,
    contact_id TEXT,
    recording_id TEXT,
    started_at INTEGER NOT NULL,
    answered_at INTEGER,
    ended_at INTEGER NOT NULL,
    duration_s INTEGER NOT NULL,
    billed_s INTEGER NOT NULL,
    disposition TEXT NOT NULL,
    cause INTEGER,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (agent_id) REFERENCES users (id) ON DELETE SET NULL,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (recording_id) REFERENCES call_recordings (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX cdrs_started ON cdrs (tenant_id, started_at, id);
CREATE INDEX cdrs_did ON cdrs (tenant_id, did, started_at, id);
CREATE INDEX cdrs_agent ON cdrs (tenant_id, agent_id, started_at, id);
CREATE INDEX cdrs_call ON cdrs (tenant_id, call_id);
CREATE INDEX cdrs_linkedid ON cdrs (linkedid);
CREATE INDEX cdrs_user ON cdrs (agent_id);
CREATE INDEX cdrs_contact ON cdrs (contact_id);
CREATE INDEX cdrs_recording ON cdrs (recording_id);

CREATE TABLE agent_states (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    since INTEGER NOT NULL,
    endpoint_id TEXT,
    extension TEXT NOT NULL DEFAULT '',
    call_id TEXT NOT NULL DEFAULT '',
    max_calls INTEGER NOT NULL DEFAULT 1,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, user_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (endpoint_id) REFERENCES endpoints (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX agent_states_created ON agent_states (tenant_id, created_at, id);
CREATE INDEX agent_states_state ON agent_states (tenant_id, state, created_at, id);
CREATE INDEX agent_states_user ON agent_states (user_id);
CREATE INDEX agent_states_endpoint ON agent_states (endpoint_id);

-- Open and past sockets. A row without disconnected_at whose last_seen_at is old belongs to a node that died.
CREATE TABLE websocket_sessions (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    user_id TEXT,
    api_key_id TEXT NOT NULL DEFAULT '',
    node_id TEXT NOT NULL,
    address TEXT NOT NULL DEFAULT '',
    user_agent TEXT NOT NULL DEFAULT '',
    subscriptions TEXT NOT NULL,
    connected_at INTEGER NOT NULL,
    last_seen_at INTEGER NOT NULL,
    disconnected_at INTEGER,
    close_code INTEGER,
    close_reason TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX websocket_sessions_created ON websocket_sessions (tenant_id, created_at, id);
CREATE INDEX websocket_sessions_user ON websocket_sessions (user_id);
CREATE INDEX websocket_sessions_seen ON websocket_sessions (last_seen_at);

-- next_attempt_at is when a message that waits is sent (again); NULL: never.
CREATE TABLE sms_messages (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    direction TEXT NOT NULL,
    from_number TEXT NOT NULL,
    to_number TEXT NOT NULL,
    body TEXT NOT NULL,
    status TEXT NOT NULL,
    encoding TEXT NOT NULL,
    segments INTEGER NOT NULL,
    provider TEXT NOT NULL DEFAULT '',
    provider_id TEXT NOT NULL DEFAULT '',
    error TEXT NOT NULL DEFAULT '',
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    sent_at INTEGER,
    delivered_at INTEGER,
    contact_id TEXT,
    user_id TEXT,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX sms_messages_created ON sms_messages (tenant_id, created_at, id);
CREATE INDEX sms_messages_status ON sms_messages (tenant_id, status, created_at, id);
CREATE INDEX sms_messages_provider ON sms_messages (provider, provider_id);
CREATE INDEX sms_messages_contact ON sms_messages (contact_id);
CREATE INDEX sms_messages_user ON sms_messages (user_id);
CREATE INDEX sms_messages_next ON sms_messages (next_attempt_at);

-- A message stays when its mailbox goes, so that its file is not forgotten: mailbox keeps the name. storage_key may be
-- empty while the sound is still with Asterisk.
CREATE TABLE voicemails (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    mailbox_id TEXT,
    mailbox TEXT NOT NULL,
    folder TEXT NOT NULL,
    caller_number TEXT NOT NULL DEFAULT '',
    caller_name TEXT NOT NULL DEFAULT '',
    call_id TEXT NOT NULL DEFAULT '',
    contact_id TEXT,
    message_id TEXT NOT NULL DEFAULT '',
    storage_key TEXT NOT NULL DEFAULT '',
    format TEXT NOT NULL DEFAULT '',
    bytes INTEGER NOT NULL DEFAULT 0,
    duration_ms INTEGER NOT NULL DEFAULT 0,
    sha256 TEXT NOT NULL DEFAULT '',
    transcript TEXT NOT NULL,
    is_read INTEGER NOT NULL DEFAULT 0,
    read_at INTEGER,
    received_at INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (mailbox_id) REFERENCES mailboxes (id) ON DELETE SET NULL,
    FOREIGN KEY (contact_id) REFERENCES contacts (id) ON DELETE SET NULL
) STRICT;
CREATE INDEX voicemails_created ON voicemails (tenant_id, created_at, id);
CREATE INDEX voicemails_mailbox ON voicemails (tenant_id, mailbox, created_at, id);
CREATE INDEX voicemails_unread ON voicemails (tenant_id, is_read, created_at, id);
CREATE INDEX voicemails_message ON voicemails (tenant_id, message_id);
CREATE INDEX voicemails_box ON voicemails (mailbox_id);
CREATE INDEX voicemails_contact ON voicemails (contact_id);
