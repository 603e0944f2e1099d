-- Agents: what phones make of their states, the log of them, and where they sit.

-- phase: free, talking, wrapup. choice: the agent's own state, which comes true once the talk or its wrap-up is over.
-- seat_state, seat_reason: what queues see of it. call_queue: the queue of the talk. phone_*: the last that was told of the
-- phone, and when. One agent sits at a phone: of several who have it, the one who was changed last keeps it.
ALTER TABLE agent_states
    ADD COLUMN previous_state VARCHAR(20) NOT NULL DEFAULT '',
    ADD COLUMN phase VARCHAR(10) NOT NULL DEFAULT 'free',
    ADD COLUMN choice VARCHAR(20) NOT NULL DEFAULT 'available',
    ADD COLUMN choice_reason VARCHAR(80) NOT NULL DEFAULT '',
    ADD COLUMN wrapup_until BIGINT,
    ADD COLUMN login_at BIGINT,
    ADD COLUMN max_tickets BIGINT NOT NULL DEFAULT 20,
    ADD COLUMN seat_state VARCHAR(20) NOT NULL DEFAULT '',
    ADD COLUMN seat_reason VARCHAR(80) NOT NULL DEFAULT '',
    ADD COLUMN call_queue VARCHAR(20) NOT NULL DEFAULT '',
    ADD COLUMN phone_state VARCHAR(10) NOT NULL DEFAULT 'idle',
    ADD COLUMN phone_at BIGINT NOT NULL DEFAULT 0,
    ADD COLUMN phone_call_id VARCHAR(26) NOT NULL DEFAULT '',
    ADD COLUMN phone_number VARCHAR(80) NOT NULL DEFAULT '',
    ADD COLUMN phone_name VARCHAR(200) NOT NULL DEFAULT '',
    ADD COLUMN phone_queue VARCHAR(20) NOT NULL DEFAULT '',
    ADD INDEX agent_states_wrapup (wrapup_until);
UPDATE agent_states SET choice = state, choice_reason = reason, seat_state = state, seat_reason = reason;
UPDATE agent_states a JOIN agent_states b ON b.endpoint_id = a.endpoint_id
    AND (b.updated_at > a.updated_at OR (b.updated_at = a.updated_at AND b.id > a.id))
    SET a.endpoint_id = NULL, a.extension = '';
ALTER TABLE agent_states ADD UNIQUE agent_states_seat (endpoint_id), DROP INDEX agent_states_endpoint;

-- Seconds after calls that no queue has a say in.
ALTER TABLE tenants ADD COLUMN wrapup_s BIGINT NOT NULL DEFAULT 0;

-- Every state that an agent was in, one row each; the one without an end is the present one. The log outlives its agents.
CREATE TABLE agent_state_log (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    agent_id VARCHAR(26) NOT NULL,
    user_id VARCHAR(26) NOT NULL,
    state VARCHAR(20) NOT NULL,
    reason VARCHAR(80) NOT NULL DEFAULT '',
    phase VARCHAR(10) NOT NULL,
    is_login BOOLEAN NOT NULL,
    since BIGINT NOT NULL,
    until BIGINT,
    call_id VARCHAR(26) NOT NULL DEFAULT '',
    created_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX agent_state_log_agent (tenant_id, agent_id, since, id),
    INDEX agent_state_log_since (tenant_id, since, id),
    INDEX agent_state_log_until (tenant_id, until)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
-- What is now is where the log begins.
INSERT INTO agent_state_log (id, tenant_id, agent_id, user_id, state, reason, phase, is_login, since, call_id, created_at)
SELECT id, tenant_id, id, user_id, state, reason, 'free', state <> 'offline', since, '', updated_at FROM agent_states;

-- Members follow their agents: seat_id is where one rings now; NULL: at its own endpoint, empty: nowhere, because somebody
-- else sits there, or another member of the queue is the same agent's. Asterisk keeps a member by its uniqueid and never
-- looks at the phone again, so who rings elsewhere has another uniqueid.
ALTER TABLE queue_members
    ADD COLUMN seat_id VARCHAR(26),
    ADD COLUMN ara_uniqueid VARCHAR(53) AS (CASE WHEN seat_id IS NULL THEN id ELSE CONCAT(id, '-', seat_id) END) VIRTUAL,
    ADD INDEX queue_members_seat (seat_id),
    ADD INDEX queue_members_uniqueid (ara_uniqueid);
DROP VIEW ara_queue_members;
CREATE VIEW ara_queue_members AS SELECT
    m.ara_queue_name AS queue_name,
    (SELECT CONCAT('PJSIP/', e.tenant_id, '-', e.name) FROM endpoints e WHERE e.id = COALESCE(m.seat_id, m.endpoint_id)) AS interface,
    (SELECT CONCAT(e.tenant_id, '-', e.name) FROM endpoints e WHERE e.id = COALESCE(m.seat_id, m.endpoint_id)) AS membername,
    m.ara_penalty AS penalty, m.ara_paused AS paused, m.ara_uniqueid AS uniqueid, m.ara_pause_reason AS reason_paused
FROM queue_members m
WHERE m.ara_state <> 'offline'
    AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = COALESCE(m.seat_id, m.endpoint_id) AND e.tenant_id = m.tenant_id AND e.status = 'active');
DROP TRIGGER queue_members_insert;
CREATE TRIGGER queue_members_insert BEFORE INSERT ON queue_members FOR EACH ROW BEGIN
    SET NEW.ara_penalty = NEW.penalty,
        NEW.ara_queue_name = (SELECT q.ara_name FROM queues q WHERE q.id = NEW.queue_id),
        NEW.ara_state = COALESCE((SELECT a.seat_state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
        NEW.ara_why = COALESCE((SELECT a.seat_reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '');
    SET NEW.ara_paused = IF(NEW.paused OR NEW.ara_state IN ('away', 'break', 'dnd'), 1, 0),
        NEW.ara_pause_reason = CASE
            WHEN NOT NEW.paused AND NEW.ara_state NOT IN ('away', 'break', 'dnd') THEN '^00'
            WHEN NEW.paused AND NEW.pause_reason = '' THEN '^00'
            ELSE REPLACE(REPLACE(CASE WHEN NEW.paused THEN NEW.pause_reason WHEN NEW.ara_why = '' THEN NEW.ara_state ELSE NEW.ara_why END, '^', '^5E'), ';', '^3B') END;
END;
DROP TRIGGER queue_members_update;
CREATE TRIGGER queue_members_update BEFORE UPDATE ON queue_members FOR EACH ROW BEGIN
    IF NOT NEW.user_id <=> OLD.user_id OR NEW.ara_queue_name = '' THEN
        SET NEW.ara_queue_name = (SELECT q.ara_name FROM queues q WHERE q.id = NEW.queue_id),
            NEW.ara_state = COALESCE((SELECT a.seat_state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
            NEW.ara_why = COALESCE((SELECT a.seat_reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '');
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
DROP TRIGGER agent_states_insert;
CREATE TRIGGER agent_states_insert AFTER INSERT ON agent_states FOR EACH ROW
    UPDATE queue_members SET ara_state = NEW.seat_state, ara_why = NEW.seat_reason WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
DROP TRIGGER agent_states_update;
-- A phone that rings changes an agent's row too; members are none of that.
CREATE TRIGGER agent_states_update AFTER UPDATE ON agent_states FOR EACH ROW BEGIN
    IF NEW.seat_state <> OLD.seat_state OR NEW.seat_reason <> OLD.seat_reason THEN
        UPDATE queue_members SET ara_state = NEW.seat_state, ara_why = NEW.seat_reason
        WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
    END IF;
END;

-- Who calls is shown with the calls before.
ALTER TABLE cdrs ADD INDEX cdrs_caller (tenant_id, caller_number, started_at, id);

-- What was told of a queue last (queue.stats), and how things stood when: of several nodes one tells it.
CREATE TABLE queue_stats (
    queue_id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    as_of BIGINT NOT NULL,
    data TEXT NOT NULL,
    FOREIGN KEY (queue_id) REFERENCES queues (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX queue_stats_tenant ON queue_stats (tenant_id, queue_id);
CREATE INDEX queue_log_written ON queue_log (created_at, tenant_id);
