-- Asterisk over ODBC asks for a phone's registrations by the beginning of their ids. LIKE knows no case in SQLite, so only an
-- index that knows none either spares it all the others.
CREATE INDEX ara_ps_contacts_of ON ara_ps_contacts (id COLLATE NOCASE);

-- For each member of a queue that it has just read here Asterisk writes that it was added: no note is needed, and so no write.
DROP TRIGGER ara_queue_log_insert;
CREATE TRIGGER ara_queue_log_insert INSTEAD OF INSERT ON ara_queue_log WHEN COALESCE(NEW.callid, '') <> 'REALTIME' BEGIN
    INSERT INTO ara_inbox (time, callid, queuename, agent, event, data1, data2, data3, data4, data5)
    VALUES (COALESCE(NEW.time, ''), COALESCE(NEW.callid, ''), COALESCE(NEW.queuename, ''), COALESCE(NEW.agent, ''),
        COALESCE(NEW.event, ''), COALESCE(NEW.data1, ''), COALESCE(NEW.data2, ''), COALESCE(NEW.data3, ''),
        COALESCE(NEW.data4, ''), COALESCE(NEW.data5, ''));
END;
