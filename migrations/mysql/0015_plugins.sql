-- Tenants' plugins: what each is now, its versions with their files, examples that a version must pass, and the log of runs.
-- A version never changes; its file (plugin_parts, in pieces that fit into one statement) goes when it is old. Runs have no
-- foreign key: they come with the journal of calls, which must not wait for anything.

CREATE TABLE plugins (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(40) NOT NULL,
    kind VARCHAR(20) NOT NULL,
    description VARCHAR(1000) NOT NULL,
    status VARCHAR(20) NOT NULL,
    on_failure VARCHAR(20) NOT NULL,
    settings MEDIUMTEXT NOT NULL,
    grants TEXT NOT NULL,
    http_hosts TEXT NOT NULL,
    events TEXT NOT NULL,
    active_version BIGINT,
    previous_version BIGINT,
    previous_proven BOOLEAN NOT NULL DEFAULT FALSE,
    activated_at BIGINT,
    canary_version BIGINT,
    canary_percent BIGINT NOT NULL DEFAULT 0,
    canary_numbers TEXT NOT NULL,
    shadow_version BIGINT,
    shadow_since BIGINT,
    last_version BIGINT NOT NULL DEFAULT 0,
    counts_from BIGINT NOT NULL DEFAULT 0,
    parked_at BIGINT,
    parked_until BIGINT,
    parked_reason VARCHAR(300) NOT NULL DEFAULT '',
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, name, deleted_at),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX plugins_created ON plugins (tenant_id, created_at, id);

CREATE TABLE plugin_versions (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    plugin_id VARCHAR(26) NOT NULL,
    number BIGINT NOT NULL,
    digest VARCHAR(64) NOT NULL,
    language VARCHAR(20) NOT NULL,
    size BIGINT NOT NULL,
    sdk VARCHAR(80) NOT NULL DEFAULT '',
    asked TEXT NOT NULL,
    note VARCHAR(500) NOT NULL DEFAULT '',
    examples MEDIUMTEXT NOT NULL,
    has_source BOOLEAN NOT NULL,
    created_by VARCHAR(26),
    created_at BIGINT NOT NULL,
    UNIQUE (plugin_id, number),
    UNIQUE (plugin_id, digest),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX plugin_versions_created ON plugin_versions (tenant_id, created_at, id);

CREATE TABLE plugin_parts (
    tenant_id VARCHAR(20) NOT NULL,
    version_id VARCHAR(26) NOT NULL,
    part BIGINT NOT NULL,
    bytes LONGBLOB NOT NULL,
    PRIMARY KEY (version_id, part),
    FOREIGN KEY (version_id) REFERENCES plugin_versions (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX plugin_parts_tenant ON plugin_parts (tenant_id);

CREATE TABLE plugin_examples (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    plugin_id VARCHAR(26) NOT NULL,
    name VARCHAR(100) NOT NULL,
    input MEDIUMTEXT NOT NULL,
    settings MEDIUMTEXT NOT NULL,
    answers MEDIUMTEXT NOT NULL,
    expected MEDIUMTEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (plugin_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX plugin_examples_created ON plugin_examples (tenant_id, created_at, id);

CREATE TABLE plugin_runs (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    plugin_id VARCHAR(26) NOT NULL,
    version BIGINT NOT NULL,
    cause VARCHAR(20) NOT NULL,
    subject_id VARCHAR(120) NOT NULL,
    outcome VARCHAR(40) NOT NULL,
    text VARCHAR(1000) NOT NULL,
    output MEDIUMTEXT,
    log MEDIUMTEXT,
    log_cut BOOLEAN NOT NULL,
    trail MEDIUMTEXT,
    trail_cut BOOLEAN NOT NULL,
    wall_us BIGINT NOT NULL,
    cpu_us BIGINT NOT NULL,
    fuel BIGINT NOT NULL,
    memory_bytes BIGINT NOT NULL,
    host_calls BIGINT NOT NULL,
    input MEDIUMTEXT,
    differs BOOLEAN,
    other_version BIGINT,
    other_outcome VARCHAR(40) NOT NULL,
    other_output MEDIUMTEXT,
    other_wall_us BIGINT,
    other_cpu_us BIGINT,
    other_fuel BIGINT,
    created_at BIGINT NOT NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX plugin_runs_created ON plugin_runs (tenant_id, created_at, id);
CREATE INDEX plugin_runs_plugin ON plugin_runs (plugin_id, created_at, id);
CREATE INDEX plugin_runs_version ON plugin_runs (plugin_id, cause, version, created_at);
