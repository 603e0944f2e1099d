-- Sounds: how long tenants keep them and what is said before a recording; how mailboxes behave; where a message lies in
-- Asterisk's spool; what is still to be copied; mail that is to leave. spool_key is mailbox and Asterisk's msg_id: a
-- message makes one row, however often it is seen. spool_folder is where the message lies in the spool, empty: no more;
-- where it differs from folder, the message is to be moved. copy_at is when the sound is looked at next, node_id whose Asterisk has it, and
-- remove_at when it is removed from the store.
ALTER TABLE tenants ADD COLUMN voicemail_days INTEGER;
ALTER TABLE tenants ADD COLUMN recording_days INTEGER;
ALTER TABLE tenants ADD COLUMN recording_announcement TEXT NOT NULL DEFAULT '';
ALTER TABLE queues ADD COLUMN recording_announcement TEXT NOT NULL DEFAULT '';
ALTER TABLE endpoints ADD COLUMN record INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailboxes ADD COLUMN pin TEXT NOT NULL DEFAULT '';
ALTER TABLE mailboxes ADD COLUMN attach INTEGER NOT NULL DEFAULT 1;
ALTER TABLE mailboxes ADD COLUMN delete_after_mail INTEGER NOT NULL DEFAULT 0;
ALTER TABLE mailboxes ADD COLUMN max_messages INTEGER NOT NULL DEFAULT 100;
ALTER TABLE mailboxes ADD COLUMN max_message_s INTEGER NOT NULL DEFAULT 300;
ALTER TABLE mailboxes ADD COLUMN language TEXT NOT NULL DEFAULT '';
ALTER TABLE voicemails ADD COLUMN node_id TEXT NOT NULL DEFAULT '';
ALTER TABLE voicemails ADD COLUMN spool_key TEXT;
ALTER TABLE voicemails ADD COLUMN spool_folder TEXT NOT NULL DEFAULT '';
ALTER TABLE voicemails ADD COLUMN sound_error TEXT NOT NULL DEFAULT '';
ALTER TABLE voicemails ADD COLUMN copy_tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE voicemails ADD COLUMN copy_at INTEGER;
ALTER TABLE voicemails ADD COLUMN remove_at INTEGER;
CREATE UNIQUE INDEX voicemails_spool ON voicemails (tenant_id, spool_key);
CREATE INDEX voicemails_copy ON voicemails (copy_at);
CREATE INDEX voicemails_received ON voicemails (tenant_id, received_at);
CREATE INDEX voicemails_remove ON voicemails (remove_at);
ALTER TABLE call_recordings ADD COLUMN node_id TEXT NOT NULL DEFAULT '';
ALTER TABLE call_recordings ADD COLUMN copy_tries INTEGER NOT NULL DEFAULT 0;
ALTER TABLE call_recordings ADD COLUMN copy_at INTEGER;
ALTER TABLE call_recordings ADD COLUMN remove_at INTEGER;
CREATE INDEX call_recordings_copy ON call_recordings (copy_at);
CREATE INDEX call_recordings_started ON call_recordings (tenant_id, started_at);
CREATE INDEX call_recordings_remove ON call_recordings (remove_at);

-- reference tells what a mail is about: there is one for each. next_at is when it is tried; NULL: it is done with.
CREATE TABLE mail_outbox (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    reference TEXT NOT NULL,
    recipient TEXT NOT NULL,
    subject TEXT NOT NULL,
    body TEXT NOT NULL,
    attachment_key TEXT NOT NULL DEFAULT '',
    attachment_name TEXT NOT NULL DEFAULT '',
    attached INTEGER NOT NULL DEFAULT 0,
    status TEXT NOT NULL,
    error TEXT NOT NULL DEFAULT '',
    tries INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, reference),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX mail_outbox_next ON mail_outbox (next_at);
CREATE INDEX mail_outbox_created ON mail_outbox (tenant_id, created_at, id);
CREATE INDEX mail_outbox_old ON mail_outbox (created_at);

-- Mailboxes, as Asterisk reads them over ODBC. Without a pin nobody can dial the password; behind a - the owner can't change
-- it by phone.
CREATE VIEW ara_voicemail AS SELECT
    b.id AS uniqueid, b.tenant_id AS context, b.name AS mailbox,
    CASE b.pin WHEN '' THEN '-x' ELSE '-' || b.pin END AS password,
    REPLACE(REPLACE(b.display_name, '^', '^5E'), ';', '^3B') AS fullname, 'no' AS attach, b.max_messages AS maxmsg,
    b.max_message_s AS maxsecs, NULLIF(b.language, '') AS language
FROM mailboxes b;
