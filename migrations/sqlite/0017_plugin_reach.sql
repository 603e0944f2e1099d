-- The plugin that is asked about calls to all numbers of a tenant that name none, and what a version's native code takes.
ALTER TABLE tenants ADD COLUMN plugin TEXT NOT NULL DEFAULT '';
ALTER TABLE plugin_versions ADD COLUMN native_bytes INTEGER NOT NULL DEFAULT 0;
