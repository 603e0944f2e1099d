-- Asterisk's realtime in this database itself (res_odbc): what it reads are views under its own column names, with the rows
-- that it gets over HTTP; what it writes is noted in ara_inbox within its own statement and taken from there by the
-- service, in order, once.
--
-- res_config_odbc takes a semicolon for the end of a value and writes it as ^3B (and ^ as ^5E). Texts that may hold one
-- are shown and written so.

-- What Asterisk wrote and the service has not taken yet. kind: log (a row of queue_log), contact (agent: whose; event: new,
-- renewed or gone; data1: until when one is registered then, data2: user agent, data3: address), member (callid: its id;
-- data1: paused, data2: why, data3: penalty; empty where
-- it did not change).
-- Not strict: the widths are for the driver, which says of a TEXT that it has no room.
CREATE TABLE ara_inbox (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT,
    kind VARCHAR(10) NOT NULL DEFAULT 'log',
    time VARCHAR(40) NOT NULL DEFAULT '',
    callid VARCHAR(255) NOT NULL DEFAULT '',
    queuename VARCHAR(255) NOT NULL DEFAULT '',
    agent VARCHAR(255) NOT NULL DEFAULT '',
    event VARCHAR(80) NOT NULL DEFAULT '',
    data1 VARCHAR(1000) NOT NULL DEFAULT '',
    data2 VARCHAR(1000) NOT NULL DEFAULT '',
    data3 VARCHAR(1000) NOT NULL DEFAULT '',
    data4 VARCHAR(1000) NOT NULL DEFAULT '',
    data5 VARCHAR(1000) NOT NULL DEFAULT ''
);
CREATE INDEX ara_inbox_agent ON ara_inbox (kind, agent);

CREATE VIEW ara_queue_log AS SELECT time, callid, queuename, agent, event, data1, data2, data3, data4, data5
FROM ara_inbox WHERE kind = 'log';
CREATE TRIGGER ara_queue_log_insert INSTEAD OF INSERT ON ara_queue_log BEGIN
    INSERT INTO ara_inbox (time, callid, queuename, agent, event, data1, data2, data3, data4, data5)
    VALUES (COALESCE(NEW.time, ''), COALESCE(NEW.callid, ''), COALESCE(NEW.queuename, ''), COALESCE(NEW.agent, ''),
        COALESCE(NEW.event, ''), COALESCE(NEW.data1, ''), COALESCE(NEW.data2, ''), COALESCE(NEW.data3, ''),
        COALESCE(NEW.data4, ''), COALESCE(NEW.data5, ''));
END;

-- Phones: of active endpoints alone.
CREATE VIEW ara_ps_endpoints AS SELECT
    p.id, p.transport, p.aors, p.auth, p.context, p.identify_by, p.accountcode, p.tenantid,
    REPLACE(REPLACE(p.set_var, '^', '^5E'), ';', '^3B') AS set_var,
    REPLACE(REPLACE(p.callerid, '^', '^5E'), ';', '^3B') AS callerid, p.callerid_privacy,
    REPLACE(REPLACE(p.callerid_tag, '^', '^5E'), ';', '^3B') AS callerid_tag, p.language,
    REPLACE(REPLACE(p.contact_user, '^', '^5E'), ';', '^3B') AS contact_user,
    REPLACE(REPLACE(p.from_user, '^', '^5E'), ';', '^3B') AS from_user,
    REPLACE(REPLACE(p.from_domain, '^', '^5E'), ';', '^3B') AS from_domain, p.message_context, p.subscribe_context,
    p.disallow, p.allow, p.dtmf_mode, p.direct_media, p.direct_media_method, p.rtp_symmetric, p.force_rport,
    p.rewrite_contact, p.media_address, p.bind_rtp_to_media_address, p.rtp_keepalive, p.rtp_timeout,
    p.rtp_timeout_hold, p.rtp_port_start, p.rtp_port_end, p.max_audio_streams, p.max_video_streams,
    p.preferred_codec_only, p.moh_suggest, p.suppress_moh_on_sendonly, p.tone_zone, p.t38_udptl, p.fax_detect,
    p.webrtc, p.media_encryption, p.use_avpf, p.ice_support, p.rtcp_mux, p.bundle, p.media_use_received_transport,
    p.dtls_auto_generate_cert, p.dtls_verify, p.dtls_setup, p.dtls_fingerprint, p.srtp_tag_32, p.`100rel`, p.timers,
    p.timers_min_se, p.timers_sess_expires, p.outbound_auth,
    REPLACE(REPLACE(p.outbound_proxy, '^', '^5E'), ';', '^3B') AS outbound_proxy, p.trust_id_inbound,
    p.trust_id_outbound, p.send_pai, p.send_rpid, p.send_diversion, p.trust_connected_line, p.send_connected_line,
    p.user_eq_phone, p.inband_progress, p.allow_overlap, p.suppress_q850_reason_headers,
    REPLACE(REPLACE(p.stir_shaken_profile, '^', '^5E'), ';', '^3B') AS stir_shaken_profile, p.redirect_method,
    p.follow_redirect_methods, p.device_state_busy_at, p.call_group, p.pickup_group,
    REPLACE(REPLACE(p.named_call_group, '^', '^5E'), ';', '^3B') AS named_call_group,
    REPLACE(REPLACE(p.named_pickup_group, '^', '^5E'), ';', '^3B') AS named_pickup_group, p.allow_transfer,
    p.allow_subscribe, p.refer_blind_progress, p.notify_early_inuse_ringing, p.mailboxes, p.aggregate_mwi,
    REPLACE(REPLACE(p.voicemail_extension, '^', '^5E'), ';', '^3B') AS voicemail_extension, p.one_touch_recording,
    p.record_on_feature, p.record_off_feature, REPLACE(REPLACE(p.acl, '^', '^5E'), ';', '^3B') AS acl,
    REPLACE(REPLACE(p.deny, '^', '^5E'), ';', '^3B') AS deny,
    REPLACE(REPLACE(p.permit, '^', '^5E'), ';', '^3B') AS permit,
    REPLACE(REPLACE(p.contact_acl, '^', '^5E'), ';', '^3B') AS contact_acl,
    REPLACE(REPLACE(p.contact_deny, '^', '^5E'), ';', '^3B') AS contact_deny,
    REPLACE(REPLACE(p.contact_permit, '^', '^5E'), ';', '^3B') AS contact_permit, p.allow_unauthenticated_options
FROM ps_endpoints p
JOIN endpoints e ON e.tenant_id = p.tenant_id AND e.name = SUBSTR(p.id, LENGTH(p.tenant_id) + 2) AND e.status = 'active';
CREATE VIEW ara_ps_auths AS SELECT
    p.id, p.auth_type, p.nonce_lifetime, p.md5_cred,
    REPLACE(REPLACE(p.password, '^', '^5E'), ';', '^3B') AS password,
    REPLACE(REPLACE(p.realm, '^', '^5E'), ';', '^3B') AS realm, p.username,
    REPLACE(REPLACE(p.refresh_token, '^', '^5E'), ';', '^3B') AS refresh_token,
    REPLACE(REPLACE(p.oauth_clientid, '^', '^5E'), ';', '^3B') AS oauth_clientid,
    REPLACE(REPLACE(p.oauth_secret, '^', '^5E'), ';', '^3B') AS oauth_secret,
    REPLACE(REPLACE(p.password_digest, '^', '^5E'), ';', '^3B') AS password_digest, p.supported_algorithms_uas,
    p.supported_algorithms_uac
FROM ps_auths p
JOIN endpoints e ON e.tenant_id = p.tenant_id AND e.name = SUBSTR(p.id, LENGTH(p.tenant_id) + 2) AND e.status = 'active';
CREATE VIEW ara_ps_aors AS SELECT
    p.id, REPLACE(REPLACE(p.contact, '^', '^5E'), ';', '^3B') AS contact, p.default_expiration, p.mailboxes,
    p.max_contacts, p.minimum_expiration, p.remove_existing, p.qualify_frequency, p.authenticate_qualify,
    p.maximum_expiration, REPLACE(REPLACE(p.outbound_proxy, '^', '^5E'), ';', '^3B') AS outbound_proxy,
    p.support_path, p.qualify_timeout,
    REPLACE(REPLACE(p.voicemail_extension, '^', '^5E'), ';', '^3B') AS voicemail_extension, p.remove_unavailable,
    p.qualify_2xx_only
FROM ps_aors p
JOIN endpoints e ON e.tenant_id = p.tenant_id AND e.name = SUBSTR(p.id, LENGTH(p.tenant_id) + 2) AND e.status = 'active';

-- Registrations, which Asterisk writes itself. This is ps_contacts as ODBC spells it, and each follows the other: a row that
-- the other has already is not news, so neither answers the other's answer. Rows of ps_contacts come and go and are not
-- changed by the service.
CREATE TABLE ara_ps_contacts (
    id TEXT NOT NULL PRIMARY KEY,
    uri TEXT,
    expiration_time INTEGER,
    qualify_frequency INTEGER,
    outbound_proxy TEXT,
    path TEXT,
    user_agent TEXT,
    qualify_timeout REAL,
    reg_server TEXT,
    authenticate_qualify TEXT,
    via_addr TEXT,
    via_port INTEGER,
    call_id TEXT,
    endpoint TEXT,
    prune_on_boot TEXT,
    qualify_2xx_only TEXT
) STRICT;
CREATE INDEX ara_ps_contacts_expiry ON ara_ps_contacts (expiration_time);
INSERT INTO ara_ps_contacts (
    id, uri, expiration_time, qualify_frequency, outbound_proxy, path, user_agent, qualify_timeout, reg_server,
    authenticate_qualify, via_addr, via_port, call_id, endpoint, prune_on_boot, qualify_2xx_only)
SELECT
    REPLACE(REPLACE(id, '^', '^5E'), ';', '^3B'), REPLACE(REPLACE(uri, '^', '^5E'), ';', '^3B'), expiration_time,
    qualify_frequency, REPLACE(REPLACE(outbound_proxy, '^', '^5E'), ';', '^3B'),
    REPLACE(REPLACE(path, '^', '^5E'), ';', '^3B'), REPLACE(REPLACE(user_agent, '^', '^5E'), ';', '^3B'),
    qualify_timeout, REPLACE(REPLACE(reg_server, '^', '^5E'), ';', '^3B'), authenticate_qualify, via_addr, via_port,
    REPLACE(REPLACE(call_id, '^', '^5E'), ';', '^3B'), endpoint, prune_on_boot, qualify_2xx_only
FROM ps_contacts;

-- By the service.
CREATE TRIGGER ps_contacts_insert AFTER INSERT ON ps_contacts
WHEN NOT EXISTS (SELECT 1 FROM ara_ps_contacts WHERE id = REPLACE(REPLACE(NEW.id, '^', '^5E'), ';', '^3B')) BEGIN
    INSERT INTO ara_ps_contacts (
    id, uri, expiration_time, qualify_frequency, outbound_proxy, path, user_agent, qualify_timeout, reg_server,
    authenticate_qualify, via_addr, via_port, call_id, endpoint, prune_on_boot, qualify_2xx_only)
    VALUES (
    REPLACE(REPLACE(NEW.id, '^', '^5E'), ';', '^3B'), REPLACE(REPLACE(NEW.uri, '^', '^5E'), ';', '^3B'),
    NEW.expiration_time, NEW.qualify_frequency, REPLACE(REPLACE(NEW.outbound_proxy, '^', '^5E'), ';', '^3B'),
    REPLACE(REPLACE(NEW.path, '^', '^5E'), ';', '^3B'), REPLACE(REPLACE(NEW.user_agent, '^', '^5E'), ';', '^3B'),
    NEW.qualify_timeout, REPLACE(REPLACE(NEW.reg_server, '^', '^5E'), ';', '^3B'), NEW.authenticate_qualify,
    NEW.via_addr, NEW.via_port, REPLACE(REPLACE(NEW.call_id, '^', '^5E'), ';', '^3B'), NEW.endpoint,
    NEW.prune_on_boot, NEW.qualify_2xx_only);
END;
CREATE TRIGGER ps_contacts_delete AFTER DELETE ON ps_contacts
WHEN EXISTS (SELECT 1 FROM ara_ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^', '^5E'), ';', '^3B')) BEGIN
    DELETE FROM ara_ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^', '^5E'), ';', '^3B');
END;

-- By Asterisk. What is nobody's is refused. Its times are the database's: no other clock is there.
CREATE TRIGGER ara_ps_contacts_insert AFTER INSERT ON ara_ps_contacts
WHEN NOT EXISTS (SELECT 1 FROM ps_contacts WHERE id = REPLACE(REPLACE(NEW.id, '^3B', ';'), '^5E', '^')) BEGIN
    SELECT RAISE(ABORT, 'there is no such endpoint')
    WHERE NOT EXISTS (SELECT 1 FROM ps_endpoints WHERE id = SUBSTR(NEW.id, 1, INSTR(NEW.id || '^3B', '^3B') - 1));
    INSERT INTO ps_contacts (tenant_id, endpoint, created_at, updated_at,
    id, uri, expiration_time, qualify_frequency, outbound_proxy, path, user_agent, qualify_timeout, reg_server,
    authenticate_qualify, via_addr, via_port, call_id, prune_on_boot, qualify_2xx_only)
    SELECT p.tenant_id, p.id, unixepoch() * 1000000, unixepoch() * 1000000,
    REPLACE(REPLACE(NEW.id, '^3B', ';'), '^5E', '^'),
    NULLIF(REPLACE(REPLACE(NEW.uri, '^3B', ';'), '^5E', '^'), ''), NEW.expiration_time, NEW.qualify_frequency,
    NULLIF(REPLACE(REPLACE(NEW.outbound_proxy, '^3B', ';'), '^5E', '^'), ''),
    NULLIF(REPLACE(REPLACE(NEW.path, '^3B', ';'), '^5E', '^'), ''),
    NULLIF(REPLACE(REPLACE(NEW.user_agent, '^3B', ';'), '^5E', '^'), ''), NEW.qualify_timeout,
    NULLIF(REPLACE(REPLACE(NEW.reg_server, '^3B', ';'), '^5E', '^'), ''), NEW.authenticate_qualify, NEW.via_addr,
    NEW.via_port, NULLIF(REPLACE(REPLACE(NEW.call_id, '^3B', ';'), '^5E', '^'), ''), NEW.prune_on_boot,
    NEW.qualify_2xx_only
    FROM ps_endpoints p WHERE p.id = SUBSTR(NEW.id, 1, INSTR(NEW.id || '^3B', '^3B') - 1);
    INSERT INTO ara_inbox (kind, agent, event, data1, data2, data3)
    VALUES ('contact', SUBSTR(NEW.id, 1, INSTR(NEW.id || '^3B', '^3B') - 1), 'new',
        COALESCE(NEW.expiration_time, ''), COALESCE(NEW.user_agent, ''), COALESCE(NEW.via_addr, ''));
END;
CREATE TRIGGER ara_ps_contacts_update AFTER UPDATE ON ara_ps_contacts BEGIN
    UPDATE ps_contacts SET updated_at = unixepoch() * 1000000,
        uri = NULLIF(REPLACE(REPLACE(NEW.uri, '^3B', ';'), '^5E', '^'), ''), expiration_time = NEW.expiration_time,
        qualify_frequency = NEW.qualify_frequency,
        outbound_proxy = NULLIF(REPLACE(REPLACE(NEW.outbound_proxy, '^3B', ';'), '^5E', '^'), ''),
        path = NULLIF(REPLACE(REPLACE(NEW.path, '^3B', ';'), '^5E', '^'), ''),
        user_agent = NULLIF(REPLACE(REPLACE(NEW.user_agent, '^3B', ';'), '^5E', '^'), ''),
        qualify_timeout = NEW.qualify_timeout,
        reg_server = NULLIF(REPLACE(REPLACE(NEW.reg_server, '^3B', ';'), '^5E', '^'), ''),
        authenticate_qualify = NEW.authenticate_qualify, via_addr = NEW.via_addr, via_port = NEW.via_port,
        call_id = NULLIF(REPLACE(REPLACE(NEW.call_id, '^3B', ';'), '^5E', '^'), ''),
        prune_on_boot = NEW.prune_on_boot, qualify_2xx_only = NEW.qualify_2xx_only
    WHERE id = REPLACE(REPLACE(OLD.id, '^3B', ';'), '^5E', '^');
    -- Many renew while the service is away: one note of each endpoint is enough.
    INSERT INTO ara_inbox (kind, agent, event, data1, data2, data3)
    SELECT 'contact', SUBSTR(NEW.id, 1, INSTR(NEW.id || '^3B', '^3B') - 1), 'renewed',
        COALESCE(NEW.expiration_time, ''), COALESCE(NEW.user_agent, ''), COALESCE(NEW.via_addr, '')
    WHERE NOT EXISTS (SELECT 1 FROM ara_inbox
        WHERE kind = 'contact' AND agent = SUBSTR(NEW.id, 1, INSTR(NEW.id || '^3B', '^3B') - 1));
END;
CREATE TRIGGER ara_ps_contacts_delete AFTER DELETE ON ara_ps_contacts
WHEN EXISTS (SELECT 1 FROM ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^3B', ';'), '^5E', '^')) BEGIN
    DELETE FROM ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^3B', ';'), '^5E', '^');
    INSERT INTO ara_inbox (kind, agent, event, data1)
    SELECT 'contact', p.id, 'gone', COALESCE((SELECT MAX(c.expiration_time) FROM ps_contacts c
        WHERE c.tenant_id = p.tenant_id AND c.endpoint = p.id), '')
    FROM ps_endpoints p WHERE p.id = SUBSTR(OLD.id, 1, INSTR(OLD.id || '^3B', '^3B') - 1);
END;

-- Queues. ara_name is what Asterisk asks by.
ALTER TABLE queues ADD COLUMN ara_name TEXT GENERATED ALWAYS AS (tenant_id || '-' || name) VIRTUAL;
CREATE INDEX queues_ara ON queues (ara_name);
CREATE VIEW ara_queues AS SELECT
    q.ara_name AS name, q.strategy, q.timeout_s AS timeout, q.retry_s AS retry, q.wrapup_s AS wrapuptime,
    q.max_len AS maxlen, q.service_level_s AS servicelevel, q.weight, q.announce_frequency_s AS announce_frequency,
    q.announce_position, q.announce_holdtime, q.periodic_announce_frequency_s AS periodic_announce_frequency,
    q.join_empty AS joinempty, q.leave_when_empty AS leavewhenempty,
    CASE WHEN q.ring_in_use THEN 'yes' ELSE 'no' END AS ringinuse, q.autopause, 'yes' AS autofill,
    'yes' AS setinterfacevar, NULLIF(q.music_class, '') AS musiconhold, NULLIF(q.periodic_announce, '') AS periodic_announce
FROM queues q;

-- Members. ara_paused, ara_pause_reason and ara_penalty are what Asterisk sees and writes; they are the service's own until
-- Asterisk changes them, and the service's follow once it has taken the note. ara_state and ara_why are those of the agent who
-- sits there: away, break and dnd are a pause, offline logs out. A reason of ^00 is ODBC's for one that is set and empty:
-- without any Asterisk takes the column for missing. MariaDB lets nobody but the owner change a view of several tables by a
-- prepared statement, so this one has a single table, with what belongs to others beside the member.
ALTER TABLE queue_members ADD COLUMN ara_queue_name TEXT NOT NULL DEFAULT '';
ALTER TABLE queue_members ADD COLUMN ara_paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_members ADD COLUMN ara_pause_reason TEXT NOT NULL DEFAULT '^00';
ALTER TABLE queue_members ADD COLUMN ara_penalty INTEGER NOT NULL DEFAULT 0;
ALTER TABLE queue_members ADD COLUMN ara_state TEXT NOT NULL DEFAULT '';
ALTER TABLE queue_members ADD COLUMN ara_why TEXT NOT NULL DEFAULT '';
CREATE INDEX queue_members_ara ON queue_members (ara_queue_name);
CREATE VIEW ara_queue_members AS SELECT
    m.ara_queue_name AS queue_name,
    (SELECT 'PJSIP/' || e.tenant_id || '-' || e.name FROM endpoints e WHERE e.id = m.endpoint_id) AS interface,
    (SELECT e.tenant_id || '-' || e.name FROM endpoints e WHERE e.id = m.endpoint_id) AS membername,
    m.ara_penalty AS penalty, m.ara_paused AS paused, m.id AS uniqueid, m.ara_pause_reason AS reason_paused
FROM queue_members m
WHERE m.ara_state <> 'offline'
    AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = m.endpoint_id AND e.tenant_id = m.tenant_id AND e.status = 'active');
CREATE TRIGGER queue_members_insert AFTER INSERT ON queue_members BEGIN
    UPDATE queue_members SET ara_penalty = NEW.penalty,
        ara_queue_name = (SELECT q.ara_name FROM queues q WHERE q.id = NEW.queue_id),
        ara_state = COALESCE((SELECT a.state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
        ara_why = COALESCE((SELECT a.reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '')
    WHERE id = NEW.id;
    UPDATE queue_members SET
        ara_paused = CASE WHEN paused OR ara_state IN ('away', 'break', 'dnd') THEN 1 ELSE 0 END,
        ara_pause_reason = CASE
            WHEN NOT paused AND ara_state NOT IN ('away', 'break', 'dnd') THEN '^00'
            WHEN paused AND pause_reason = '' THEN '^00'
            ELSE REPLACE(REPLACE(CASE WHEN paused THEN pause_reason WHEN ara_why = '' THEN ara_state ELSE ara_why END, '^', '^5E'), ';', '^3B') END
    WHERE id = NEW.id;
END;
CREATE TRIGGER queue_members_seat AFTER UPDATE OF user_id ON queue_members BEGIN
    UPDATE queue_members SET
        ara_state = COALESCE((SELECT a.state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
        ara_why = COALESCE((SELECT a.reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '')
    WHERE id = NEW.id;
END;
CREATE TRIGGER queue_members_update AFTER UPDATE OF paused, penalty, pause_reason, ara_state, ara_why ON queue_members
WHEN NEW.paused <> OLD.paused OR NEW.penalty <> OLD.penalty OR NEW.pause_reason <> OLD.pause_reason
    OR NEW.ara_state <> OLD.ara_state OR NEW.ara_why <> OLD.ara_why BEGIN
    UPDATE queue_members SET
        ara_penalty = CASE WHEN NEW.penalty <> OLD.penalty THEN NEW.penalty ELSE ara_penalty END,
        ara_paused = CASE WHEN paused OR ara_state IN ('away', 'break', 'dnd') THEN 1 ELSE 0 END,
        ara_pause_reason = CASE
            WHEN NOT paused AND ara_state NOT IN ('away', 'break', 'dnd') THEN '^00'
            WHEN paused AND pause_reason = '' THEN '^00'
            ELSE REPLACE(REPLACE(CASE WHEN paused THEN pause_reason WHEN ara_why = '' THEN ara_state ELSE ara_why END, '^', '^5E'), ';', '^3B') END
    WHERE id = NEW.id;
END;
-- What was there before gets its columns by the triggers.
UPDATE queue_members SET ara_penalty = penalty, ara_queue_name = (SELECT q.ara_name FROM queues q WHERE q.id = queue_members.queue_id),
    ara_paused = paused,
    ara_pause_reason = CASE pause_reason WHEN '' THEN '^00' ELSE REPLACE(REPLACE(pause_reason, '^', '^5E'), ';', '^3B') END;
UPDATE queue_members SET user_id = user_id WHERE user_id IS NOT NULL;
CREATE TRIGGER agent_states_insert AFTER INSERT ON agent_states BEGIN
    UPDATE queue_members SET ara_state = NEW.state, ara_why = NEW.reason WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
END;
CREATE TRIGGER agent_states_update AFTER UPDATE OF state, reason ON agent_states BEGIN
    UPDATE queue_members SET ara_state = NEW.state, ara_why = NEW.reason WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
END;
CREATE TRIGGER agent_states_delete AFTER DELETE ON agent_states BEGIN
    UPDATE queue_members SET ara_state = '', ara_why = '' WHERE tenant_id = OLD.tenant_id AND user_id = OLD.user_id;
END;
-- By Asterisk. A note says what it changed and nothing else: the rest may be the agent's.
CREATE TRIGGER ara_queue_members_update INSTEAD OF UPDATE ON ara_queue_members
WHEN CAST(NEW.paused AS INTEGER) <> OLD.paused OR CAST(NEW.penalty AS INTEGER) <> OLD.penalty
    OR COALESCE(NULLIF(NEW.reason_paused, ''), '^00') <> OLD.reason_paused BEGIN
    UPDATE queue_members SET ara_paused = CAST(NEW.paused AS INTEGER), ara_penalty = CAST(NEW.penalty AS INTEGER),
        ara_pause_reason = COALESCE(NULLIF(NEW.reason_paused, ''), '^00')
    WHERE id = OLD.uniqueid;
    INSERT INTO ara_inbox (kind, callid, data1, data2, data3)
    VALUES ('member', OLD.uniqueid,
        CASE WHEN CAST(NEW.paused AS INTEGER) <> OLD.paused THEN CAST(NEW.paused AS INTEGER) ELSE '' END,
        CASE WHEN COALESCE(NULLIF(NEW.reason_paused, ''), '^00') <> OLD.reason_paused
            THEN COALESCE(NULLIF(NEW.reason_paused, ''), '^00') ELSE '' END,
        CASE WHEN CAST(NEW.penalty AS INTEGER) <> OLD.penalty THEN CAST(NEW.penalty AS INTEGER) ELSE '' END);
END;
