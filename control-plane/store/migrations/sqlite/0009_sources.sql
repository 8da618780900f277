-- Sources of every kind: directories over SCIM, webhooks ('hook'), files of people ('file').
ALTER TABLE sources ADD COLUMN kind TEXT NOT NULL DEFAULT 'scim';

-- A person has one account at each source that speaks of them; that one directory alone manages them is decided before.
DROP INDEX accounts_live_principal;
CREATE UNIQUE INDEX accounts_live_principal ON accounts (principal_id, source_id) WHERE ended_at IS NULL;

-- 256 random bits each, sealed: a signature is checked with the secret itself.
CREATE TABLE hook_secrets (
    id           BLOB PRIMARY KEY,
    source_id    BLOB NOT NULL REFERENCES sources (id),
    sealed       BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX hook_secrets_by_source ON hook_secrets (source_id);

-- Messages of webhooks, by what tells them apart (SHA-256), so that none counts twice on any replica.
CREATE TABLE hook_deliveries (
    source_id BLOB NOT NULL REFERENCES sources (id),
    delivery  BLOB NOT NULL,
    begun_at  INTEGER NOT NULL,
    done_at   INTEGER,
    PRIMARY KEY (source_id, delivery)
) STRICT;
CREATE INDEX hook_deliveries_by_time ON hook_deliveries (begun_at);

-- A replica of before would take what a webhook says of somebody for what their directory says.
UPDATE schema_floor SET version = 9;
