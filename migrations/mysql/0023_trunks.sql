-- Trunks: the addresses by which Asterisk knows them, one trunk's each on the whole platform; and numbers outside that go
-- through a tenant's own.
CREATE TABLE ps_endpoint_id_ips (
    id VARCHAR(255) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    endpoint VARCHAR(255) NOT NULL,
    `match` VARCHAR(80) NOT NULL UNIQUE,
    srv_lookups VARCHAR(5) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    INDEX ps_endpoint_id_ips_created (tenant_id, created_at, id),
    INDEX ps_endpoint_id_ips_endpoint (tenant_id, endpoint)
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

ALTER TABLE endpoints ADD COLUMN addresses TEXT NOT NULL DEFAULT '[]';
ALTER TABLE endpoints ADD COLUMN contact VARCHAR(255) NOT NULL DEFAULT '';
ALTER TABLE outbound_rules ADD COLUMN trunk VARCHAR(20) NOT NULL DEFAULT '';

CREATE VIEW ara_ps_endpoint_id_ips AS SELECT p.id, p.endpoint, p.`match`, p.srv_lookups
FROM ps_endpoint_id_ips p
JOIN endpoints e ON e.tenant_id = p.tenant_id AND e.name = SUBSTR(p.endpoint, LENGTH(p.tenant_id) + 2) AND e.status = 'active';
