-- Asterisk over ODBC asks for a phone's registrations by the beginning of their ids, which the primary key serves; SQLite needs an
-- index of its own. There a trigger also drops notes that need not be written, which none can do here: the service removes them.
DO 0;
