-- Directories: sources outside of Doorward that say who is there (SCIM). While `brake_since` is set, nobody departs by it.
CREATE TABLE sources (
    id               BLOB PRIMARY KEY,
    name             TEXT NOT NULL UNIQUE,
    created_at       INTEGER NOT NULL,
    brake_since      INTEGER,
    brake_cleared_at INTEGER
) STRICT;

-- SHA-256 of 256 random bits.
CREATE TABLE source_tokens (
    hash         BLOB PRIMARY KEY,
    source_id    BLOB NOT NULL REFERENCES sources (id),
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    last_used_at INTEGER,
    revoked_at   INTEGER
) STRICT;
CREATE INDEX source_tokens_by_source ON source_tokens (source_id);

-- A person as one source knows them. What has ended is kept: it says who put them out, and counts to a burst.
CREATE TABLE accounts (
    id             BLOB PRIMARY KEY,
    source_id      BLOB NOT NULL REFERENCES sources (id),
    principal_id   BLOB NOT NULL REFERENCES principals (id),
    external_id    TEXT,
    user_name      TEXT NOT NULL,
    user_name_key  TEXT NOT NULL,
    profile        TEXT NOT NULL,
    created_at     INTEGER NOT NULL,
    changed_at     INTEGER NOT NULL,
    suspended_at   INTEGER,
    held_at        INTEGER,
    by_hand_at     INTEGER,
    reactivated_at INTEGER,
    deleted_at     INTEGER,
    ended_at       INTEGER,
    ended_by       TEXT CHECK (ended_by IN ('source', 'hand')),
    CHECK ((ended_at IS NULL) = (ended_by IS NULL))
) STRICT;
CREATE UNIQUE INDEX accounts_live_principal ON accounts (principal_id) WHERE ended_at IS NULL;
CREATE UNIQUE INDEX accounts_live_user_name ON accounts (source_id, user_name_key)
    WHERE ended_at IS NULL AND deleted_at IS NULL;
CREATE INDEX accounts_by_principal ON accounts (principal_id);
CREATE INDEX accounts_by_source ON accounts (source_id, id);
CREATE INDEX accounts_suspended ON accounts (suspended_at) WHERE ended_at IS NULL AND suspended_at IS NOT NULL;

-- A group of a source; the group itself is one of `people_groups`.
CREATE TABLE source_groups (
    group_id     BLOB PRIMARY KEY REFERENCES people_groups (id),
    source_id    BLOB NOT NULL REFERENCES sources (id),
    external_id  TEXT,
    display_name TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT;
CREATE INDEX source_groups_by_source ON source_groups (source_id);
