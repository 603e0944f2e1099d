-- The plugin that is asked about calls to all numbers of a tenant that name none, and what a version's native code takes.
ALTER TABLE tenants ADD COLUMN plugin VARCHAR(60) NOT NULL DEFAULT '';
ALTER TABLE plugin_versions ADD COLUMN native_bytes BIGINT NOT NULL DEFAULT 0;
