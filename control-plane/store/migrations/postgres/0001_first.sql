-- Times are microseconds since 1970 (UTC); ids are UUIDs.
CREATE TABLE principals (
    id              UUID PRIMARY KEY,
    email           TEXT NOT NULL UNIQUE,
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL CHECK (kind IN ('staff', 'contractor')),
    sponsor_id      UUID REFERENCES principals (id),
    state           TEXT NOT NULL CHECK (state IN ('active', 'suspended', 'departed')),
    not_after       BIGINT,
    created_at      BIGINT NOT NULL,
    changed_at      BIGINT NOT NULL,
    signed_in_until BIGINT,
    end_recorded_at BIGINT,
    CHECK (kind = 'staff' OR sponsor_id IS NOT NULL)
);

CREATE TABLE devices (
    id             UUID PRIMARY KEY,
    principal_id   UUID NOT NULL REFERENCES principals (id),
    name           TEXT NOT NULL,
    public_key     BYTEA NOT NULL UNIQUE,
    preshared_key  BYTEA,
    slot           BIGINT NOT NULL CHECK (slot >= 0),
    not_after      BIGINT,
    created_at     BIGINT NOT NULL,
    revoked_at     BIGINT,
    revoked_reason TEXT,
    CHECK ((revoked_at IS NULL) = (revoked_reason IS NULL))
);
CREATE UNIQUE INDEX devices_live_slot ON devices (slot) WHERE revoked_at IS NULL;
CREATE UNIQUE INDEX devices_live_name ON devices (principal_id, name) WHERE revoked_at IS NULL;
CREATE INDEX devices_revoked_at ON devices (revoked_at) WHERE revoked_at IS NOT NULL;

-- One row for each address slot that was ever used: taken by a device, or free again from rests_until on.
CREATE TABLE address_slots (
    slot        BIGINT PRIMARY KEY CHECK (slot >= 0),
    device_id   UUID UNIQUE REFERENCES devices (id),
    rests_until BIGINT NOT NULL
);
CREATE INDEX address_slots_free ON address_slots (slot) WHERE device_id IS NULL;

CREATE TABLE resources (
    id         UUID PRIMARY KEY,
    name       TEXT NOT NULL,
    targets    TEXT NOT NULL,
    allowed    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT
);
CREATE UNIQUE INDEX resources_live_name ON resources (name) WHERE removed_at IS NULL;

CREATE TABLE grants (
    id              UUID PRIMARY KEY,
    principal_id    UUID NOT NULL REFERENCES principals (id),
    resource_id     UUID NOT NULL REFERENCES resources (id),
    not_before      BIGINT NOT NULL,
    not_after       BIGINT NOT NULL,
    requested_by    TEXT NOT NULL,
    approved_by     TEXT NOT NULL,
    reason          TEXT,
    created_at      BIGINT NOT NULL,
    revoked_at      BIGINT,
    end_recorded_at BIGINT,
    CHECK (not_before < not_after)
);
CREATE INDEX grants_by_principal ON grants (principal_id);
CREATE INDEX grants_live ON grants (not_after) WHERE revoked_at IS NULL;
CREATE INDEX grants_by_resource ON grants (resource_id) WHERE revoked_at IS NULL;

CREATE TABLE gateways (
    id                 UUID PRIMARY KEY,
    name               TEXT NOT NULL,
    certificate_sha256 BYTEA UNIQUE,
    public_key         BYTEA,
    endpoint           TEXT,
    version            TEXT,
    enrolled_at        BIGINT NOT NULL,
    last_seen_at       BIGINT,
    revision           BIGINT,
    removed_at         BIGINT
);
CREATE UNIQUE INDEX gateways_live_name ON gateways (name) WHERE removed_at IS NULL;

CREATE TABLE gateway_tokens (
    hash       BYTEA PRIMARY KEY,
    gateway    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    used_at    BIGINT
);

CREATE TABLE api_tokens (
    hash         BYTEA PRIMARY KEY,
    name         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    last_used_at BIGINT,
    revoked_at   BIGINT
);
CREATE UNIQUE INDEX api_tokens_live_name ON api_tokens (name) WHERE revoked_at IS NULL;

CREATE TABLE lockdown (
    id         BIGINT PRIMARY KEY CHECK (id = 1),
    state      TEXT NOT NULL CHECK (state IN ('off', 'on')),
    reason     TEXT,
    changed_by TEXT NOT NULL,
    changed_at BIGINT
);
INSERT INTO lockdown (id, state, changed_by) VALUES (1, 'off', '');

-- The chain is documented in control-plane/domain/src/audit.rs.
CREATE TABLE audit (
    seq           BIGINT PRIMARY KEY,
    at            BIGINT NOT NULL,
    actor         TEXT NOT NULL,
    action        TEXT NOT NULL,
    subject       TEXT NOT NULL,
    detail        TEXT NOT NULL,
    previous_hash BYTEA NOT NULL UNIQUE,
    hash          BYTEA NOT NULL UNIQUE
);

CREATE TABLE feed_revision (
    id       BIGINT PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL
);
INSERT INTO feed_revision (id, revision) VALUES (1, 0);

CREATE TABLE outbox (
    revision BIGINT PRIMARY KEY,
    at       BIGINT NOT NULL,
    kind     TEXT NOT NULL CHECK (kind IN ('devices', 'everything', 'lockdown'))
);
CREATE TABLE outbox_devices (
    revision  BIGINT NOT NULL REFERENCES outbox (revision) ON DELETE CASCADE,
    device_id UUID NOT NULL,
    PRIMARY KEY (revision, device_id)
);

CREATE TABLE receipts (
    gateway_id        UUID NOT NULL REFERENCES gateways (id),
    revision          BIGINT NOT NULL,
    decided_at        BIGINT NOT NULL,
    enforced_at       BIGINT NOT NULL,
    enforced_after_ms BIGINT,
    last_packets      TEXT NOT NULL,
    PRIMARY KEY (gateway_id, revision)
);
CREATE INDEX receipts_by_revision ON receipts (revision);

CREATE TABLE alerts (
    id        BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at        BIGINT NOT NULL,
    kind      TEXT NOT NULL,
    gateway   TEXT,
    device_id UUID,
    email     TEXT,
    source    TEXT,
    message   TEXT NOT NULL,
    count     BIGINT NOT NULL
);
