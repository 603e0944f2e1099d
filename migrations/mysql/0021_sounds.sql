-- Sounds: how long tenants keep them and what is said before a recording; how mailboxes behave; where a message lies in
-- Asterisk's spool; what is still to be copied; mail that is to leave. spool_key is mailbox and Asterisk's msg_id: a
-- message makes one row, however often it is seen. spool_folder is where the message lies in the spool, empty: no more;
-- where it differs from folder, the message is to be moved. copy_at is when the sound is looked at next, node_id whose Asterisk has it, and
-- remove_at when it is removed from the store.
ALTER TABLE tenants
    ADD COLUMN voicemail_days INT,
    ADD COLUMN recording_days INT,
    ADD COLUMN recording_announcement VARCHAR(200) NOT NULL DEFAULT '';
ALTER TABLE queues
    ADD COLUMN recording_announcement VARCHAR(200) NOT NULL DEFAULT '';
ALTER TABLE endpoints
    ADD COLUMN record BOOLEAN NOT NULL DEFAULT 0;
ALTER TABLE mailboxes
    ADD COLUMN pin VARCHAR(10) NOT NULL DEFAULT '',
    ADD COLUMN attach BOOLEAN NOT NULL DEFAULT 1,
    ADD COLUMN delete_after_mail BOOLEAN NOT NULL DEFAULT 0,
    ADD COLUMN max_messages INT NOT NULL DEFAULT 100,
    ADD COLUMN max_message_s INT NOT NULL DEFAULT 300,
    ADD COLUMN language VARCHAR(20) NOT NULL DEFAULT '';
ALTER TABLE voicemails
    ADD COLUMN node_id VARCHAR(26) NOT NULL DEFAULT '',
    ADD COLUMN spool_key VARCHAR(70),
    ADD COLUMN spool_folder VARCHAR(20) NOT NULL DEFAULT '',
    ADD COLUMN sound_error VARCHAR(200) NOT NULL DEFAULT '',
    ADD COLUMN copy_tries INT NOT NULL DEFAULT 0,
    ADD COLUMN copy_at BIGINT,
    ADD COLUMN remove_at BIGINT,
    ADD UNIQUE INDEX voicemails_spool (tenant_id, spool_key),
    ADD INDEX voicemails_copy (copy_at),
    ADD INDEX voicemails_received (tenant_id, received_at),
    ADD INDEX voicemails_remove (remove_at);
ALTER TABLE call_recordings
    ADD COLUMN node_id VARCHAR(26) NOT NULL DEFAULT '',
    ADD COLUMN copy_tries INT NOT NULL DEFAULT 0,
    ADD COLUMN copy_at BIGINT,
    ADD COLUMN remove_at BIGINT,
    ADD INDEX call_recordings_copy (copy_at),
    ADD INDEX call_recordings_started (tenant_id, started_at),
    ADD INDEX call_recordings_remove (remove_at);

-- reference tells what a mail is about: there is one for each. next_at is when it is tried; NULL: it is done with.
CREATE TABLE mail_outbox (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    reference VARCHAR(60) NOT NULL,
    recipient VARCHAR(254) NOT NULL,
    subject VARCHAR(200) NOT NULL,
    body TEXT NOT NULL,
    attachment_key VARCHAR(255) NOT NULL DEFAULT '',
    attachment_name VARCHAR(60) NOT NULL DEFAULT '',
    attached BOOLEAN NOT NULL DEFAULT 0,
    status VARCHAR(20) NOT NULL,
    error VARCHAR(200) NOT NULL DEFAULT '',
    tries INT NOT NULL DEFAULT 0,
    next_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, reference),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX mail_outbox_next (next_at),
    INDEX mail_outbox_created (tenant_id, created_at, id),
    INDEX mail_outbox_old (created_at)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

-- Mailboxes, as Asterisk reads them over ODBC. Without a pin nobody can dial the password; behind a - the owner can't change
-- it by phone.
CREATE VIEW ara_voicemail AS SELECT
    b.id AS uniqueid, b.tenant_id AS context, b.name AS mailbox,
    CASE b.pin WHEN '' THEN '-x' ELSE CONCAT('-', b.pin) END AS password,
    REPLACE(REPLACE(b.display_name, '^', '^5E'), ';', '^3B') AS fullname, 'no' AS attach, b.max_messages AS maxmsg,
    b.max_message_s AS maxsecs, NULLIF(b.language, '') AS language
FROM mailboxes b;
