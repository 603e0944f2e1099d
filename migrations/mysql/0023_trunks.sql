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
