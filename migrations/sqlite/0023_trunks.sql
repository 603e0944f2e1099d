-- Trunks: the addresses by which Asterisk knows them, one trunk's each on the whole platform; and numbers outside that go
-- through a tenant's own.
CREATE TABLE ps_endpoint_id_ips (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    "match" TEXT NOT NULL UNIQUE,
    srv_lookups TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX ps_endpoint_id_ips_created ON ps_endpoint_id_ips (tenant_id, created_at, id);
CREATE INDEX ps_endpoint_id_ips_endpoint ON ps_endpoint_id_ips (tenant_id, endpoint);

ALTER TABLE endpoints ADD COLUMN addresses TEXT NOT NULL DEFAULT '[]';
ALTER TABLE endpoints ADD COLUMN contact TEXT NOT NULL DEFAULT '';
ALTER TABLE outbound_rules ADD COLUMN trunk TEXT NOT NULL DEFAULT '';

CREATE VIEW ara_ps_endpoint_id_ips AS SELECT p.id, p.endpoint, p.`match`, p.srv_lookups
FROM ps_endpoint_id_ips p
JOIN endpoints e ON e.tenant_id = p.tenant_id AND e.name = SUBSTR(p.endpoint, LENGTH(p.tenant_id) + 2) AND e.status = 'active';
