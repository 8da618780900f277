-- When a device's tunnel was alive last, to the hour. What is there already counts as used at this moment, so that nothing
-- ends because of a time in which nobody took notice.
ALTER TABLE devices ADD COLUMN used_at INTEGER;
UPDATE devices SET used_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER) WHERE revoked_at IS NULL;
CREATE INDEX devices_by_use ON devices (used_at) WHERE revoked_at IS NULL;
