-- What a number does: DIDs, their further destinations, opening hours, block and allow lists, menus.

CREATE TABLE schedules (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    definition TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE dids (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    number TEXT NOT NULL,
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    route_type TEXT NOT NULL,
    route_target TEXT NOT NULL,
    route_timeout_s INTEGER NOT NULL,
    route_options TEXT NOT NULL,
    message TEXT NOT NULL,
    plugin TEXT NOT NULL DEFAULT '',
    schedule TEXT NOT NULL DEFAULT '',
    language TEXT NOT NULL DEFAULT '',
    record INTEGER NOT NULL,
    max_concurrent_calls INTEGER NOT NULL,
    webhook_url TEXT NOT NULL DEFAULT '',
    webhook_second_url TEXT NOT NULL DEFAULT '',
    webhook_secret TEXT NOT NULL DEFAULT '',
    webhook_timeout_ms INTEGER NOT NULL DEFAULT 2000,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (number, deleted_at),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX dids_tenant ON dids (tenant_id, status);

-- Where a call goes besides the static route: overflow in order, fallback, closed, holiday, blocked, limit, inactive.
-- owner_kind is tenant or did; owner_id the id of that row.
CREATE TABLE destinations (
    tenant_id TEXT NOT NULL,
    owner_kind TEXT NOT NULL,
    owner_id TEXT NOT NULL,
    role TEXT NOT NULL,
    position INTEGER NOT NULL,
    type TEXT NOT NULL,
    target TEXT NOT NULL,
    timeout_s INTEGER NOT NULL,
    options TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (tenant_id, owner_kind, owner_id, role, position),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE number_rules (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    kind TEXT NOT NULL,
    pattern TEXT NOT NULL,
    note TEXT NOT NULL,
    expires_at INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, kind, pattern),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE ivr_menus (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    prompts TEXT NOT NULL,
    invalid_prompt TEXT NOT NULL,
    goodbye_prompt TEXT NOT NULL,
    first_digit_ms INTEGER NOT NULL,
    inter_digit_ms INTEGER NOT NULL,
    max_tries INTEGER NOT NULL,
    direct_dial INTEGER NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (tenant_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;

CREATE TABLE ivr_options (
    tenant_id TEXT NOT NULL,
    menu_id TEXT NOT NULL,
    digits TEXT NOT NULL,
    type TEXT NOT NULL,
    target TEXT NOT NULL,
    timeout_s INTEGER NOT NULL,
    options TEXT NOT NULL,
    message TEXT NOT NULL,
    PRIMARY KEY (menu_id, digits),
    FOREIGN KEY (menu_id) REFERENCES ivr_menus (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX ivr_options_tenant ON ivr_options (tenant_id);
