-- Asterisk's own user of the service's database, with no right but those that it needs: run it once as an administrator,
-- after `hookswitch migrate`, and again after an upgrade. The database is `hookswitch` here; ODBC_PASSWORD stands for the
-- password, and '%' for the address that Asterisk comes from.
CREATE USER IF NOT EXISTS 'asterisk'@'%' IDENTIFIED BY 'ODBC_PASSWORD';
GRANT SELECT ON `hookswitch`.ara_ps_endpoints TO 'asterisk'@'%';
GRANT SELECT ON `hookswitch`.ara_ps_auths TO 'asterisk'@'%';
GRANT SELECT ON `hookswitch`.ara_ps_aors TO 'asterisk'@'%';
GRANT SELECT, INSERT, UPDATE, DELETE ON `hookswitch`.ara_ps_contacts TO 'asterisk'@'%';
GRANT SELECT ON `hookswitch`.ara_ps_endpoint_id_ips TO 'asterisk'@'%';
GRANT SELECT ON `hookswitch`.ara_queues TO 'asterisk'@'%';
GRANT SELECT, UPDATE (paused, reason_paused, penalty) ON `hookswitch`.ara_queue_members TO 'asterisk'@'%';
GRANT INSERT ON `hookswitch`.ara_queue_log TO 'asterisk'@'%';
GRANT SELECT ON `hookswitch`.ara_voicemail TO 'asterisk'@'%';
GRANT SELECT, INSERT ON `hookswitch`.cdr TO 'asterisk'@'%';
