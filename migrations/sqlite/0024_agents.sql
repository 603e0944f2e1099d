-- Agents: what phones make of their states, the log of them, and where they sit.

-- phase: free, talking, wrapup. choice: the agent's own state, which comes true once the talk or its wrap-up is over.
-- seat_state, seat_reason: what queues see of it. call_queue: the queue of the talk. phone_*: the last that was told of the
-- phone, and when. One agent sits at a phone: of several who have it, the one who was changed last keeps it.
ALTER TABLE agent_states ADD COLUMN previous_state TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN phase TEXT NOT NULL DEFAULT 'free';
ALTER TABLE agent_states ADD COLUMN choice TEXT NOT NULL DEFAULT 'available';
ALTER TABLE agent_states ADD COLUMN choice_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN wrapup_until INTEGER;
ALTER TABLE agent_states ADD COLUMN login_at INTEGER;
ALTER TABLE agent_states ADD COLUMN max_tickets INTEGER NOT NULL DEFAULT 20;
ALTER TABLE agent_states ADD COLUMN seat_state TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN seat_reason TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN call_queue TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN phone_state TEXT NOT NULL DEFAULT 'idle';
ALTER TABLE agent_states ADD COLUMN phone_at INTEGER NOT NULL DEFAULT 0;
ALTER TABLE agent_states ADD COLUMN phone_call_id TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN phone_number TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN phone_name TEXT NOT NULL DEFAULT '';
ALTER TABLE agent_states ADD COLUMN phone_queue TEXT NOT NULL DEFAULT '';
CREATE INDEX agent_states_wrapup ON agent_states (wrapup_until);
UPDATE agent_states SET choice = state, choice_reason = reason, seat_state = state, seat_reason = reason;
UPDATE agent_states SET endpoint_id = NULL, extension = '' WHERE EXISTS (SELECT 1 FROM agent_states b
    WHERE b.endpoint_id = agent_states.endpoint_id AND (b.updated_at > agent_states.updated_at
    OR (b.updated_at = agent_states.updated_at AND b.id > agent_states.id)));
DROP INDEX agent_states_endpoint;
CREATE UNIQUE INDEX agent_states_seat ON agent_states (endpoint_id);

-- Seconds after calls that no queue has a say in.
ALTER TABLE tenants ADD COLUMN wrapup_s INTEGER NOT NULL DEFAULT 0;

-- Every state that an agent was in, one row each; the one without an end is the present one. The log outlives its agents.
CREATE TABLE agent_state_log (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    agent_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    state TEXT NOT NULL,
    reason TEXT NOT NULL DEFAULT '',
    phase TEXT NOT NULL,
    is_login INTEGER NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    call_id TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX agent_state_log_agent ON agent_state_log (tenant_id, agent_id, since, id);
CREATE INDEX agent_state_log_since ON agent_state_log (tenant_id, since, id);
CREATE INDEX agent_state_log_until ON agent_state_log (tenant_id, until);
-- What is now is where the log begins.
INSERT INTO agent_state_log (id, tenant_id, agent_id, user_id, state, reason, phase, is_login, since, call_id, created_at)
SELECT id, tenant_id, id, user_id, state, reason, 'free', state <> 'offline', since, '', updated_at FROM agent_states;

-- Members follow their agents: seat_id is where one rings now; NULL: at its own endpoint, empty: nowhere, because somebody
-- else sits there, or another member of the queue is the same agent's. Asterisk keeps a member by its uniqueid and never
-- looks at the phone again, so who rings elsewhere has another uniqueid.
ALTER TABLE queue_members ADD COLUMN seat_id TEXT;
ALTER TABLE queue_members ADD COLUMN ara_uniqueid TEXT GENERATED ALWAYS AS (CASE WHEN seat_id IS NULL THEN id ELSE id || '-' || seat_id END) VIRTUAL;
CREATE INDEX queue_members_at_seat ON queue_members (seat_id);
CREATE INDEX queue_members_uniqueid ON queue_members (ara_uniqueid);
DROP TRIGGER ara_queue_members_update;
DROP VIEW ara_queue_members;
CREATE VIEW ara_queue_members AS SELECT
    m.ara_queue_name AS queue_name,
    (SELECT 'PJSIP/' || e.tenant_id || '-' || e.name FROM endpoints e WHERE e.id = COALESCE(m.seat_id, m.endpoint_id)) AS interface,
    (SELECT e.tenant_id || '-' || e.name FROM endpoints e WHERE e.id = COALESCE(m.seat_id, m.endpoint_id)) AS membername,
    m.ara_penalty AS penalty, m.ara_paused AS paused, m.ara_uniqueid AS uniqueid, m.ara_pause_reason AS reason_paused
FROM queue_members m
WHERE m.ara_state <> 'offline'
    AND EXISTS (SELECT 1 FROM endpoints e WHERE e.id = COALESCE(m.seat_id, m.endpoint_id) AND e.tenant_id = m.tenant_id AND e.status = 'active');
DROP TRIGGER queue_members_insert;
CREATE TRIGGER queue_members_insert AFTER INSERT ON queue_members BEGIN
    UPDATE queue_members SET ara_penalty = NEW.penalty,
        ara_queue_name = (SELECT q.ara_name FROM queues q WHERE q.id = NEW.queue_id),
        ara_state = COALESCE((SELECT a.seat_state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
        ara_why = COALESCE((SELECT a.seat_reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '')
    WHERE id = NEW.id;
    UPDATE queue_members SET
        ara_paused = CASE WHEN paused OR ara_state IN ('away', 'break', 'dnd') THEN 1 ELSE 0 END,
        ara_pause_reason = CASE
            WHEN NOT paused AND ara_state NOT IN ('away', 'break', 'dnd') THEN '^00'
            WHEN paused AND pause_reason = '' THEN '^00'
            ELSE REPLACE(REPLACE(CASE WHEN paused THEN pause_reason WHEN ara_why = '' THEN ara_state ELSE ara_why END, '^', '^5E'), ';', '^3B') END
    WHERE id = NEW.id;
END;
DROP TRIGGER queue_members_seat;
CREATE TRIGGER queue_members_seat AFTER UPDATE OF user_id ON queue_members BEGIN
    UPDATE queue_members SET
        ara_state = COALESCE((SELECT a.seat_state FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), ''),
        ara_why = COALESCE((SELECT a.seat_reason FROM agent_states a WHERE a.tenant_id = NEW.tenant_id AND a.user_id = NEW.user_id), '')
    WHERE id = NEW.id;
END;
DROP TRIGGER agent_states_insert;
CREATE TRIGGER agent_states_insert AFTER INSERT ON agent_states BEGIN
    UPDATE queue_members SET ara_state = NEW.seat_state, ara_why = NEW.seat_reason WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
END;
DROP TRIGGER agent_states_update;
CREATE TRIGGER agent_states_update AFTER UPDATE OF seat_state, seat_reason ON agent_states BEGIN
    UPDATE queue_members SET ara_state = NEW.seat_state, ara_why = NEW.seat_reason WHERE tenant_id = NEW.tenant_id AND user_id = NEW.user_id;
END;
CREATE TRIGGER ara_queue_members_update INSTEAD OF UPDATE ON ara_queue_members
WHEN CAST(NEW.paused AS INTEGER) <> OLD.paused OR CAST(NEW.penalty AS INTEGER) <> OLD.penalty
    OR COALESCE(NULLIF(NEW.reason_paused, ''), '^00') <> OLD.reason_paused BEGIN
    UPDATE queue_members SET ara_paused = CAST(NEW.paused AS INTEGER), ara_penalty = CAST(NEW.penalty AS INTEGER),
        ara_pause_reason = COALESCE(NULLIF(NEW.reason_paused, ''), '^00')
    WHERE ara_uniqueid = OLD.uniqueid;
    INSERT INTO ara_inbox (kind, callid, data1, data2, data3)
    VALUES ('member', SUBSTR(OLD.uniqueid, 1, 26),
        CASE WHEN CAST(NEW.paused AS INTEGER) <> OLD.paused THEN CAST(NEW.paused AS INTEGER) ELSE '' END,
        CASE WHEN COALESCE(NULLIF(NEW.reason_paused, ''), '^00') <> OLD.reason_paused
            THEN COALESCE(NULLIF(NEW.reason_paused, ''), '^00') ELSE '' END,
        CASE WHEN CAST(NEW.penalty AS INTEGER) <> OLD.penalty THEN CAST(NEW.penalty AS INTEGER) ELSE '' END);
END;

-- Who calls is shown with the calls before.
CREATE INDEX cdrs_caller ON cdrs (tenant_id, caller_number, started_at, id);

-- What was told of a queue last (queue.stats), and how things stood when: of several nodes one tells it.
CREATE TABLE queue_stats (
    queue_id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    as_of INTEGER NOT NULL,
    data TEXT NOT NULL,
    FOREIGN KEY (queue_id) REFERENCES queues (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX queue_stats_tenant ON queue_stats (tenant_id, queue_id);
CREATE INDEX queue_log_written ON queue_log (created_at, tenant_id);
