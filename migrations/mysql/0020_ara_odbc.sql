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
CREATE TABLE ara_inbox (
    id BIGINT NOT NULL PRIMARY KEY AUTO_INCREMENT,
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
    data5 VARCHAR(1000) NOT NULL DEFAULT '',
    INDEX ara_inbox_agent (kind, agent)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE VIEW ara_queue_log AS SELECT time, callid, queuename, agent, event, data1, data2, data3, data4, data5
FROM ara_inbox WHERE kind = 'log';

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
    id VARCHAR(255) NOT NULL PRIMARY KEY,
    uri VARCHAR(1024),
    expiration_time BIGINT,
    qualify_frequency BIGINT,
    outbound_proxy VARCHAR(1024),
    path TEXT,
    user_agent VARCHAR(1024),
    qualify_timeout DOUBLE,
    reg_server VARCHAR(255),
    authenticate_qualify VARCHAR(5),
    via_addr VARCHAR(40),
    via_port BIGINT,
    call_id VARCHAR(1024),
    endpoint VARCHAR(255),
    prune_on_boot VARCHAR(5),
    qualify_2xx_only VARCHAR(5),
    INDEX ara_ps_contacts_expiry (expiration_time)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
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
CREATE TRIGGER ps_contacts_insert AFTER INSERT ON ps_contacts FOR EACH ROW BEGIN
    IF NOT EXISTS (SELECT 1 FROM ara_ps_contacts WHERE id = REPLACE(REPLACE(NEW.id, '^', '^5E'), ';', '^3B')) THEN
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
    END IF;
END;
CREATE TRIGGER ps_contacts_delete AFTER DELETE ON ps_contacts FOR EACH ROW BEGIN
    IF EXISTS (SELECT 1 FROM ara_ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^', '^5E'), ';', '^3B')) THEN
        DELETE FROM ara_ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^', '^5E'), ';', '^3B');
    END IF;
END;

-- By Asterisk. What is nobody's is refused. Its times are the database's: no other clock is there.
CREATE TRIGGER ara_ps_contacts_insert AFTER INSERT ON ara_ps_contacts FOR EACH ROW BEGIN
    IF NOT EXISTS (SELECT 1 FROM ps_contacts WHERE id = REPLACE(REPLACE(NEW.id, '^3B', ';'), '^5E', '^')) THEN
        IF NOT EXISTS (SELECT 1 FROM ps_endpoints
            WHERE id = SUBSTR(NEW.id, 1, INSTR(CONCAT(NEW.id, '^3B'), '^3B') - 1)) THEN
            SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'there is no such endpoint';
        END IF;
        INSERT INTO ps_contacts (tenant_id, endpoint, created_at, updated_at,
        id, uri, expiration_time, qualify_frequency, outbound_proxy, path, user_agent, qualify_timeout, reg_server,
        authenticate_qualify, via_addr, via_port, call_id, prune_on_boot, qualify_2xx_only)
        SELECT p.tenant_id, p.id, UNIX_TIMESTAMP() * 1000000, UNIX_TIMESTAMP() * 1000000,
        REPLACE(REPLACE(NEW.id, '^3B', ';'), '^5E', '^'),
        NULLIF(REPLACE(REPLACE(NEW.uri, '^3B', ';'), '^5E', '^'), ''), NEW.expiration_time, NEW.qualify_frequency,
        NULLIF(REPLACE(REPLACE(NEW.outbound_proxy, '^3B', ';'), '^5E', '^'), ''),
        NULLIF(REPLACE(REPLACE(NEW.path, '^3B', ';'), '^5E', '^'), ''),
        NULLIF(REPLACE(REPLACE(NEW.user_agent, '^3B', ';'), '^5E', '^'), ''), NEW.qualify_timeout,
        NULLIF(REPLACE(REPLACE(NEW.reg_server, '^3B', ';'), '^5E', '^'), ''), NEW.authenticate_qualify, NEW.via_addr,
        NEW.via_port, NULLIF(REPLACE(REPLACE(NEW.call_id, '^3B', ';'), '^5E', '^'), ''), NEW.prune_on_boot,
        NEW.qualify_2xx_only
        FROM ps_endpoints p WHERE p.id = SUBSTR(NEW.id, 1, INSTR(CONCAT(NEW.id, '^3B'), '^3B') - 1);
        INSERT INTO ara_inbox (kind, agent, event, data1, data2, data3)
        VALUES ('contact', SUBSTR(NEW.id, 1, INSTR(CONCAT(NEW.id, '^3B'), '^3B') - 1), 'new',
            COALESCE(NEW.expiration_time, ''), COALESCE(NEW.user_agent, ''), COALESCE(NEW.via_addr, ''));
    END IF;
END;
CREATE TRIGGER ara_ps_contacts_update AFTER UPDATE ON ara_ps_contacts FOR EACH ROW BEGIN
    UPDATE ps_contacts SET updated_at = UNIX_TIMESTAMP() * 1000000,
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
    SELECT 'contact', SUBSTR(NEW.id, 1, INSTR(CONCAT(NEW.id, '^3B'), '^3B') - 1), 'renewed',
        COALESCE(NEW.expiration_time, ''), COALESCE(NEW.user_agent, ''), COALESCE(NEW.via_addr, '')
    FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM ara_inbox
        WHERE kind = 'contact' AND agent = SUBSTR(NEW.id, 1, INSTR(CONCAT(NEW.id, '^3B'), '^3B') - 1));
END;
CREATE TRIGGER ara_ps_contacts_delete AFTER DELETE ON ara_ps_contacts FOR EACH ROW BEGIN
    IF EXISTS (SELECT 1 FROM ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^3B', ';'), '^5E', '^')) THEN
        DELETE FROM ps_contacts WHERE id = REPLACE(REPLACE(OLD.id, '^3B', ';'), '^5E', '^');
        INSERT INTO ara_inbox (kind, agent, event, data1)
        SELECT 'contact', p.id, 'gone', COALESCE((SELECT MAX(c.expiration_time) FROM ps_contacts c
            WHERE c.tenant_id = p.tenant_id AND c.endpoint = p.id), '')
        FROM ps_endpoints p WHERE p.id = SUBSTR(OLD.id, 1, INSTR(CONCAT(OLD.id, '^3B'), '^3B') - 1);
    END IF;
END;

-- Queues. ara_name is what Asterisk asks by.
ALTER TABLE queues
    ADD COLUMN ara_name VARCHAR(40) AS (CONCAT(tenant_id, '-', name)) VIRTUAL,
    ADD INDEX queues_ara (ara_name);
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
ALTER TABLE queue_members
    ADD COLUMN ara_queue_name VARCHAR(40) NOT NULL DEFAULT '',
    ADD COLUMN ara_paused INT NOT NULL DEFAULT 0,
    ADD COLUMN ara_pause_reason VARCHAR(255) NOT NULL DEFAULT '^00',
    ADD COLUMN ara_penalty BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN ara_state VARCHAR(20) NOT NULL DEFAULT '',
    ADD COLUMN ara_why VARCHAR(80) NOT NULL DEFAULT '',
    ADD INDEX queue_members_ara (ara_queue_name);
CREATE VIEW ara_queue_members AS SELECT
    m.ara_queue_name AS queue_name,
    (SELECT CONCAT('PJSIP/', e.tenant_id, '-', e.name) FROM endpoints e WHERE e.id = m.endpoint_id) AS interface,
    (SELECT CONCAT(e.tenant_id, '-', e.name) FROM endpoints e WHERE e.id = m.endpoint_id) AS membername,
    m.ara_penalty AS penalty, m.ara_paused AS paused, m.id AS uniqueid, m.ara_pause_reason AS reason_paused
FROM queue_members m
WHERE m.ara_state <> 'offline'
    AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = m.endpoint_id AND e.tenant_id = m.tenant_id AND e.status = 'active');
CREATE TRIGGER queue_members_insert BEFORE INSERT ON queue_members FOR EACH ROW BEGIN
    SET NEW.ara_penalty = NEW.penalty,
        NEW.ara_queue_name = (SELECT q.ara_name FROM queues q WHERE q.id = NEW.queue_id),
        NEW.ara_state = COALESCE((SELECT a.state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
        NEW.ara_why = COALESCE((SELECT a.reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '');
    SET NEW.ara_paused = IF(NEW.paused OR NEW.ara_state IN ('away', 'break', 'dnd'), 1, 0),
        NEW.ara_pause_reason = CASE
            WHEN NOT NEW.paused AND NEW.ara_state NOT IN ('away', 'break', 'dnd') THEN '^00'
            WHEN NEW.paused AND NEW.pause_reason = '' THEN '^00'
            ELSE REPLACE(REPLACE(CASE WHEN NEW.paused THEN NEW.pause_reason WHEN NEW.ara_why = '' THEN NEW.ara_state ELSE NEW.ara_why END, '^', '^5E'), ';', '^3B') END;
END;
CREATE TRIGGER queue_members_update BEFORE UPDATE ON queue_members FOR EACH ROW BEGIN
    IF NOT NEW.user_id <=> OLD.user_id OR NEW.ara_queue_name = '' THEN
        SET NEW.ara_queue_name = (SELECT q.ara_name FROM queues q WHERE q.id = NEW.queue_id),
            NEW.ara_state = COALESCE((SELECT a.state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
            NEW.ara_why = COALESCE((SELECT a.reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '');
    END IF;
    IF NEW.penalty <> OLD.penalty OR OLD.ara_queue_name = '' THEN SET NEW.ara_penalty = NEW.penalty; END IF;
    IF NEW.paused <> OLD.paused OR NEW.pause_reason <> OLD.pause_reason OR NEW.ara_state <> OLD.ara_state
        OR NEW.ara_why <> OLD.ara_why OR OLD.ara_queue_name = '' THEN
        SET NEW.ara_paused = IF(NEW.paused OR NEW.ara_state IN ('away', 'break', 'dnd'), 1, 0),
            NEW.ara_pause_reason = CASE
            WHEN NOT NEW.paused AND NEW.ara_state NOT IN ('away', 'break', 'dnd') THEN '^00'
            WHEN NEW.paused AND NEW.pause_reason = '' THEN '^00'
            ELSE REPLACE(REPLACE(CASE WHEN NEW.paused THEN NEW.pause_reason WHEN NEW.ara_why = '' THEN NEW.ara_state ELSE NEW.ara_why END, '^', '^5E'), ';', '^3B') END;
    END IF;
    IF NEW.ara_pause_reason = '' THEN SET NEW.ara_pause_reason = '^00'; END IF;
END;
-- What was there before gets its columns by the trigger.
UPDATE queue_members SET ara_queue_name = '';
-- By Asterisk. A note says what it changed and nothing else: the rest may be the agent's.
CREATE TRIGGER queue_members_updated AFTER UPDATE ON queue_members FOR EACH ROW BEGIN
    IF NEW.paused = OLD.paused AND NEW.penalty = OLD.penalty AND NEW.pause_reason = OLD.pause_reason
        AND NEW.ara_state = OLD.ara_state AND NEW.ara_why = OLD.ara_why
        AND (NEW.ara_paused <> OLD.ara_paused OR NEW.ara_penalty <> OLD.ara_penalty
        OR NEW.ara_pause_reason <> OLD.ara_pause_reason) THEN
        INSERT INTO ara_inbox (kind, callid, data1, data2, data3)
        VALUES ('member', NEW.id, IF(NEW.ara_paused <> OLD.ara_paused, NEW.ara_paused, ''),
            IF(NEW.ara_pause_reason <> OLD.ara_pause_reason, NEW.ara_pause_reason, ''),
            IF(NEW.ara_penalty <> OLD.ara_penalty, NEW.ara_penalty, ''));
    END IF;
END;
CREATE TRIGGER agent_states_insert AFTER INSERT ON agent_states FOR EACH ROW
    UPDATE queue_members SET ara_state = NEW.state, ara_why = NEW.reason WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
CREATE TRIGGER agent_states_update AFTER UPDATE ON agent_states FOR EACH ROW
    UPDATE queue_members SET ara_state = NEW.state, ara_why = NEW.reason WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
CREATE TRIGGER agent_states_delete AFTER DELETE ON agent_states FOR EACH ROW
    UPDATE queue_members SET ara_state = '', ara_why = '' WHERE tenant_id = OLD.tenant_id AND user_id = OLD.user_id;
