-- What a number does: DIDs, their further destinations, opening hours, block and allow lists, menus.

CREATE TABLE schedules (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(19) NOT NULL,
    definition TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE dids (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    number VARCHAR(16) NOT NULL,
    name VARCHAR(200) NOT NULL,
    status VARCHAR(20) NOT NULL,
    route_type VARCHAR(20) NOT NULL,
    route_target VARCHAR(120) NOT NULL,
    route_timeout_s BIGINT NOT NULL,
    route_options VARCHAR(40) NOT NULL,
    message VARCHAR(120) NOT NULL,
    plugin VARCHAR(60) NOT NULL DEFAULT '',
    schedule VARCHAR(19) NOT NULL DEFAULT '',
    language VARCHAR(20) NOT NULL DEFAULT '',
    record BOOLEAN NOT NULL,
    max_concurrent_calls BIGINT NOT NULL,
    webhook_url VARCHAR(2048) NOT NULL DEFAULT '',
    webhook_second_url VARCHAR(2048) NOT NULL DEFAULT '',
    webhook_secret VARCHAR(200) NOT NULL DEFAULT '',
    webhook_timeout_ms BIGINT NOT NULL DEFAULT 2000,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE (number, deleted_at),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX dids_tenant ON dids (tenant_id, status);

-- Where a call goes besides the static route: overflow in order, fallback, closed, holiday, blocked, limit, inactive.
-- owner_kind is tenant or did; owner_id the id of that row.
CREATE TABLE destinations (
    tenant_id VARCHAR(20) NOT NULL,
    owner_kind VARCHAR(10) NOT NULL,
    owner_id VARCHAR(26) NOT NULL,
    role VARCHAR(20) NOT NULL,
    position BIGINT NOT NULL,
    type VARCHAR(20) NOT NULL,
    target VARCHAR(120) NOT NULL,
    timeout_s BIGINT NOT NULL,
    options VARCHAR(40) NOT NULL,
    message VARCHAR(120) NOT NULL,
    PRIMARY KEY (tenant_id, owner_kind, owner_id, role, position),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE number_rules (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    kind VARCHAR(10) NOT NULL,
    pattern VARCHAR(20) NOT NULL,
    note VARCHAR(200) NOT NULL,
    expires_at BIGINT NOT NULL DEFAULT 0,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, kind, pattern),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE ivr_menus (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(19) NOT NULL,
    prompts TEXT NOT NULL,
    invalid_prompt VARCHAR(120) NOT NULL,
    goodbye_prompt VARCHAR(120) NOT NULL,
    first_digit_ms BIGINT NOT NULL,
    inter_digit_ms BIGINT NOT NULL,
    max_tries BIGINT NOT NULL,
    direct_dial BOOLEAN NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE ivr_options (
    tenant_id VARCHAR(20) NOT NULL,
    menu_id VARCHAR(26) NOT NULL,
    digits VARCHAR(10) NOT NULL,
    type VARCHAR(20) NOT NULL,
    target VARCHAR(120) NOT NULL,
    timeout_s BIGINT NOT NULL,
    options VARCHAR(40) NOT NULL,
    message VARCHAR(120) NOT NULL,
    PRIMARY KEY (menu_id, digits),
    FOREIGN KEY (menu_id) REFERENCES ivr_menus (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX ivr_options_tenant ON ivr_options (tenant_id);
