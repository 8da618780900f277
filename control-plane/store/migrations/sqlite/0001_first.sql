-- Times are microseconds since 1970 (UTC); ids are UUIDs of 16 bytes.
CREATE TABLE principals (
    id              BLOB PRIMARY KEY,
    email           TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('staff', 'contractor')),
    sponsor_id      BLOB REFERENCES principals (id),
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'departed')),
    not_after       INTEGER,
    created_at      INTEGER NOT NULL,
    changed_at      INTEGER NOT NULL,
    signed_in_until INTEGER,
    end_recorded_at INTEGER,
    CHECK (kind = 'staff' OR sponsor_id IS NOT NULL)
) STRICT;

CREATE TABLE devices (
    id             BLOB PRIMARY KEY,
    principal_id   BLOB NOT NULL REFERENCES principals (id),
    name           TEXT NOT NULL,
    public_key     BLOB NOT NULL UNIQUE,
    preshared_key  BLOB,
    slot           INTEGER NOT NULL CHECK (slot >= 0),
    not_after      INTEGER,
    created_at     INTEGER NOT NULL,
    revoked_at     INTEGER,
    revoked_reason TEXT,
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
) STRICT;
CREATE UNIQUE INDEX devices_live_slot ON devices (slot) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX devices_live_name ON devices (principal_id, name) WHERE revoked_at IS NULL;
CREATE INDEX devices_revoked_at ON devices (revoked_at) WHERE revoked_at IS NOT NULL;

-- One row for each address slot that was ever used: taken by a device, or free again from rests_until on.
CREATE TABLE address_slots (
    slot        INTEGER PRIMARY KEY CHECK (slot >= 0),
    device_id   BLOB UNIQUE REFERENCES devices (id),
    rests_until INTEGER NOT NULL
) STRICT;
CREATE INDEX address_slots_free ON address_slots (slot) WHERE device_id IS NULL;

CREATE TABLE resources (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    targets    TEXT NOT NULL,
    allowed    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    removed_at INTEGER
) STRICT;
CREATE UNIQUE INDEX resources_live_name ON resources (name) WHERE removed_at IS NULL;

CREATE TABLE grants (
    id              BLOB PRIMARY KEY,
    principal_id    BLOB NOT NULL REFERENCES principals (id),
    resource_id     BLOB NOT NULL REFERENCES resources (id),
    not_before      INTEGER NOT NULL,
    not_after       INTEGER NOT NULL,
    requested_by    TEXT NOT NULL,
    approved_by     TEXT NOT NULL,
    reason          TEXT,
    created_at      INTEGER NOT NULL,
    revoked_at      INTEGER,
    end_recorded_at INTEGER,
    CHECK (not_before < not_after)
) STRICT;
CREATE INDEX grants_by_principal ON grants (principal_id);
CREATE INDEX grants_live ON grants (not_after) WHERE revoked_at IS NULL;
CREATE INDEX grants_by_resource ON grants (resource_id) WHERE revoked_at IS NULL;

CREATE TABLE gateways (
    id                 BLOB PRIMARY KEY,
    name               TEXT NOT NULL,
    certificate_sha256 BLOB UNIQUE,
    public_key         BLOB,
    endpoint           TEXT,
    version            TEXT,
    enrolled_at        INTEGER NOT NULL,
    last_seen_at       INTEGER,
    revision           INTEGER,
    removed_at         INTEGER
) STRICT;
CREATE UNIQUE INDEX gateways_live_name ON gateways (name) WHERE removed_at IS NULL;

CREATE TABLE gateway_tokens (
    hash       BLOB PRIMARY KEY,
    gateway    TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at    INTEGER
) STRICT;

CREATE TABLE api_tokens (
    hash         BLOB PRIMARY KEY,
    name         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE UNIQUE INDEX api_tokens_live_name ON api_tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE lockdown (
    id         INTEGER PRIMARY KEY CHECK (id = 1),
    state      TEXT NOT NULL CHECK (state IN ('off', 'on')),
    reason     TEXT,
    changed_by TEXT NOT NULL,
    changed_at INTEGER
) STRICT;
INSERT INTO lockdown (id, state, changed_by) VALUES (1, 'off', '');

-- The chain is documented in control-plane/domain/src/audit.rs.
CREATE TABLE audit (
    seq           INTEGER PRIMARY KEY,
    at            INTEGER NOT NULL,
    actor         TEXT NOT NULL,
    action        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    detail        TEXT NOT NULL,
    previous_hash BLOB NOT NULL UNIQUE,
    hash          BLOB NOT NULL UNIQUE
) STRICT;

CREATE TABLE feed_revision (
    id       INTEGER PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL
) STRICT;
INSERT INTO feed_revision (id, revision) VALUES (1, 0);

CREATE TABLE outbox (
    revision INTEGER PRIMARY KEY,
    at       INTEGER NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('devices', 'everything', 'lockdown'))
) STRICT;
CREATE TABLE outbox_devices (
    revision  INTEGER NOT NULL REFERENCES outbox (revision) ON DELETE CASCADE,
    device_id BLOB NOT NULL,
    PRIMARY KEY (revision, device_id)
) STRICT;

CREATE TABLE receipts (
    gateway_id        BLOB NOT NULL REFERENCES gateways (id),
    revision          INTEGER NOT NULL,
    decided_at        INTEGER NOT NULL,
    enforced_at       INTEGER NOT NULL,
    enforced_after_ms INTEGER,
    last_packets      TEXT NOT NULL,
    PRIMARY KEY (gateway_id, revision)
) STRICT;
CREATE INDEX receipts_by_revision ON receipts (revision);

CREATE TABLE alerts (
    id        INTEGER PRIMARY KEY,
    at        INTEGER NOT NULL,
    kind      TEXT NOT NULL,
    gateway   TEXT,
    device_id BLOB,
    email     TEXT,
    source    TEXT,
    message   TEXT NOT NULL,
    count     INTEGER NOT NULL
) STRICT;
