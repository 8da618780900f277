-- Several control planes on one database. On SQLite, which has one, these tables stay empty.

-- The oldest program that may still run beside this schema, named by the newest migration that it knows. A migration that
-- an older program cannot live with raises it.
CREATE TABLE schema_floor (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO schema_floor (id, version) VALUES (1, 8);

-- A run of a control plane; heard_at is by the database's clock.
CREATE TABLE replicas (
    id         BLOB PRIMARY KEY,
    name       TEXT NOT NULL,
    version    TEXT NOT NULL,
    started_at INTEGER NOT NULL,
    heard_at   INTEGER NOT NULL
) STRICT;

-- The open stream of a gateway, and what the gateway said last there.
CREATE TABLE gateway_sessions (
    gateway        TEXT PRIMARY KEY,
    session_id     BLOB NOT NULL UNIQUE,
    replica_id     BLOB NOT NULL REFERENCES replicas (id) ON DELETE CASCADE,
    revision       INTEGER,
    devices_active INTEGER NOT NULL,
    devices_known  INTEGER NOT NULL,
    heard_at       INTEGER NOT NULL
) STRICT;
CREATE INDEX gateway_sessions_by_replica ON gateway_sessions (replica_id);

-- What gateways confirmed lately, on its way to whoever waits for it at another replica. `ended` is JSON.
CREATE TABLE confirmations (
    id                    INTEGER PRIMARY KEY AUTOINCREMENT,
    replica_id            BLOB NOT NULL,
    gateway               TEXT NOT NULL,
    revision              INTEGER NOT NULL,
    heard_at              INTEGER NOT NULL,
    enforced_after_micros INTEGER NOT NULL,
    ended                 TEXT NOT NULL
) STRICT;
CREATE INDEX confirmations_by_time ON confirmations (heard_at);

-- What every replica has to have alike in its data folder and its configuration, by SHA-256.
CREATE TABLE site_keys (
    name        TEXT PRIMARY KEY,
    fingerprint BLOB NOT NULL,
    kept_at     INTEGER NOT NULL
) STRICT;
