-- Who may use the API: users, their roles, sessions with refresh tokens, second factors, resets, API keys.
-- Users, sessions and what hangs on them are platform-wide (one person may have roles in several tenants); of the
-- tenants' own tables here are user_roles and api_keys. Secrets stand here only as SHA-256 (random ones), argon2id
-- (passwords) or sealed (totp_secret).

CREATE TABLE users (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20),
    email VARCHAR(254) NOT NULL,
    password_hash VARCHAR(200) NOT NULL,
    is_superadmin BOOLEAN NOT NULL DEFAULT 0,
    first_name VARCHAR(100) NOT NULL,
    last_name VARCHAR(100) NOT NULL,
    phone VARCHAR(40) NOT NULL DEFAULT '',
    status VARCHAR(20) NOT NULL,
    language VARCHAR(20) NOT NULL,
    zone VARCHAR(64) NOT NULL,
    avatar_url VARCHAR(2048) NOT NULL DEFAULT '',
    last_login_at BIGINT,
    failed_logins BIGINT NOT NULL DEFAULT 0,
    locked_until BIGINT,
    totp_secret VARCHAR(200) NOT NULL DEFAULT '',
    totp_enabled BOOLEAN NOT NULL DEFAULT 0,
    totp_last_step BIGINT NOT NULL DEFAULT 0,
    password_changed_at BIGINT NOT NULL,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT NOT NULL DEFAULT 0,
    UNIQUE (email, deleted_at),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX users_tenant_created ON users (tenant_id, created_at, id);
CREATE INDEX users_tenant_status ON users (tenant_id, status, created_at, id);
CREATE INDEX users_created ON users (created_at, id);

-- The role of a user in a tenant. Superadmins of the platform have none: users.is_superadmin.
CREATE TABLE user_roles (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    user_id VARCHAR(26) NOT NULL,
    role VARCHAR(20) NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    UNIQUE (user_id, tenant_id),
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX user_roles_tenant_created ON user_roles (tenant_id, created_at, id);

-- A login and everything refreshed from it. tenant_id is empty for a superadmin who acts in no tenant.
CREATE TABLE sessions (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    user_id VARCHAR(26) NOT NULL,
    tenant_id VARCHAR(20),
    role VARCHAR(20) NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT,
    revoked_why VARCHAR(20) NOT NULL DEFAULT '',
    user_agent VARCHAR(200) NOT NULL,
    address VARCHAR(45) NOT NULL,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX sessions_user_created ON sessions (user_id, created_at, id);
CREATE INDEX sessions_tenant_created ON sessions (tenant_id, created_at, id);
CREATE INDEX sessions_revoked ON sessions (revoked_at);
CREATE INDEX sessions_expires ON sessions (expires_at);

-- The tokens of a session, one of which is unused. A used one knows its successor, so that a repeat is told from a theft.
CREATE TABLE refresh_tokens (
    hash VARCHAR(64) NOT NULL PRIMARY KEY,
    session_id VARCHAR(26) NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    consumed_at BIGINT,
    successor VARCHAR(64),
    FOREIGN KEY (session_id) REFERENCES sessions (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX refresh_tokens_session ON refresh_tokens (session_id);
CREATE INDEX refresh_tokens_consumed ON refresh_tokens (consumed_at);

CREATE TABLE recovery_codes (
    user_id VARCHAR(26) NOT NULL,
    hash VARCHAR(64) NOT NULL,
    created_at BIGINT NOT NULL,
    used_at BIGINT,
    PRIMARY KEY (user_id, hash),
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;

CREATE TABLE password_resets (
    hash VARCHAR(64) NOT NULL PRIMARY KEY,
    user_id VARCHAR(26) NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at BIGINT,
    FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX password_resets_user ON password_resets (user_id);
CREATE INDEX password_resets_expires ON password_resets (expires_at);

-- Keys of machines. A key acts with a role of its tenant, within its scopes; it is revoked, never deleted.
CREATE TABLE api_keys (
    id VARCHAR(26) NOT NULL PRIMARY KEY,
    tenant_id VARCHAR(20) NOT NULL,
    name VARCHAR(100) NOT NULL,
    prefix VARCHAR(20) NOT NULL,
    hash VARCHAR(64) NOT NULL UNIQUE,
    scopes TEXT NOT NULL,
    role VARCHAR(20) NOT NULL,
    created_by VARCHAR(26),
    expires_at BIGINT,
    last_used_at BIGINT,
    last_used_address VARCHAR(45) NOT NULL DEFAULT '',
    revoked_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenants (id) ON DELETE CASCADE,
    FOREIGN KEY (created_by) REFERENCES users (id) ON DELETE SET NULL
) ENGINE=InnoDB DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_bin;
CREATE INDEX api_keys_tenant_created ON api_keys (tenant_id, created_at, id);
CREATE INDEX api_keys_created_by ON api_keys (created_by);
