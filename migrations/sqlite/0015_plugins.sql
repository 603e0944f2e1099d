-- Tenants' plugins: what each is now, its versions with their files, examples that a version must pass, and the log of runs.
-- A version never changes; its file (plugin_parts, in pieces that fit into one statement) goes when it is old. Runs have no
-- foreign key: they come with the journal of calls, which must not wait for anything.

CREATE TABLE plugins (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    name TEXT NOT NULL,
    kind TEXT NOT NULL,
    description TEXT NOT NULL,
    status TEXT NOT NULL,
    on_failure TEXT NOT NULL,
    settings TEXT NOT NULL,
    grants TEXT NOT NULL,
    http_hosts TEXT NOT NULL,
    events TEXT NOT NULL,
    active_version INTEGER,
    previous_version INTEGER,
    previous_proven INTEGER NOT NULL DEFAULT 0,
    activated_at INTEGER,
    canary_version INTEGER,
    canary_percent INTEGER NOT NULL DEFAULT 0,
    canary_numbers TEXT NOT NULL,
    shadow_version INTEGER,
    shadow_since INTEGER,
    last_version INTEGER NOT NULL DEFAULT 0,
    counts_from INTEGER NOT NULL DEFAULT 0,
    parked_at INTEGER,
    parked_until INTEGER,
    parked_reason TEXT NOT NULL DEFAULT '',
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL DEFAULT 0,
    UNIQUE (tenant_id, name, deleted_at),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX plugins_created ON plugins (tenant_id, created_at, id);

CREATE TABLE plugin_versions (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    plugin_id TEXT NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    language TEXT NOT NULL,
    size INTEGER NOT NULL,
    sdk TEXT NOT NULL DEFAULT '',
    asked TEXT NOT NULL,
    note TEXT NOT NULL DEFAULT '',
    examples TEXT NOT NULL,
    has_source INTEGER NOT NULL,
    created_by TEXT,
    created_at INTEGER NOT NULL,
    UNIQUE (plugin_id, number),
    UNIQUE (plugin_id, digest),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX plugin_versions_created ON plugin_versions (tenant_id, created_at, id);

CREATE TABLE plugin_parts (
    tenant_id TEXT NOT NULL,
    version_id TEXT NOT NULL,
    part INTEGER NOT NULL,
    bytes BLOB NOT NULL,
    PRIMARY KEY (version_id, part),
    FOREIGN KEY (version_id) REFERENCES plugin_versions (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX plugin_parts_tenant ON plugin_parts (tenant_id);

CREATE TABLE plugin_examples (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    plugin_id TEXT NOT NULL,
    name TEXT NOT NULL,
    input TEXT NOT NULL,
    settings TEXT NOT NULL,
    answers TEXT NOT NULL,
    expected TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    UNIQUE (plugin_id, name),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (plugin_id) REFERENCES plugins (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX plugin_examples_created ON plugin_examples (tenant_id, created_at, id);

CREATE TABLE plugin_runs (
    id TEXT NOT NULL PRIMARY KEY,
    tenant_id TEXT NOT NULL,
    plugin_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    cause TEXT NOT NULL,
    subject_id TEXT NOT NULL,
    outcome TEXT NOT NULL,
    text TEXT NOT NULL,
    output TEXT,
    log TEXT,
    log_cut INTEGER NOT NULL,
    trail TEXT,
    trail_cut INTEGER NOT NULL,
    wall_us INTEGER NOT NULL,
    cpu_us INTEGER NOT NULL,
    fuel INTEGER NOT NULL,
    memory_bytes INTEGER NOT NULL,
    host_calls INTEGER NOT NULL,
    input TEXT,
    differs INTEGER,
    other_version INTEGER,
    other_outcome TEXT NOT NULL,
    other_output TEXT,
    other_wall_us INTEGER,
    other_cpu_us INTEGER,
    other_fuel INTEGER,
    created_at INTEGER NOT NULL
) STRICT;
CREATE INDEX plugin_runs_created ON plugin_runs (tenant_id, created_at, id);
CREATE INDEX plugin_runs_plugin ON plugin_runs (plugin_id, created_at, id);
CREATE INDEX plugin_runs_version ON plugin_runs (plugin_id, cause, version, created_at);
