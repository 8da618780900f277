-- What a person may do for others, and when they last signed in.
ALTER TABLE principals ADD COLUMN role TEXT NOT NULL DEFAULT 'member'
    CHECK (role IN ('owner', 'admin', 'approver', 'auditor', 'member'));
ALTER TABLE principals ADD COLUMN signed_in_at INTEGER;

-- From when on a device's sign-in window is shut until the next sign-in: its key was used from two places.
ALTER TABLE devices ADD COLUMN window_closed_at INTEGER;

-- Single-use links. A setup link has no person: whoever opens it becomes an owner. Hashes are SHA-256 of 256 random bits.
CREATE TABLE invitations (
    hash         BLOB PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('setup', 'join')),
    principal_id BLOB REFERENCES principals (id),
    created_at   INTEGER NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   INTEGER NOT NULL,
    used_at      INTEGER,
    replaced_at  INTEGER,
    CHECK ((kind = 'join') = (principal_id IS NOT NULL))
) STRICT;
CREATE INDEX invitations_by_principal ON invitations (principal_id);

-- What the browser keeps the private half of; `rp_id` is the site that it is bound to.
CREATE TABLE passkeys (
    id            BLOB PRIMARY KEY,
    principal_id  BLOB NOT NULL REFERENCES principals (id),
    credential_id BLOB NOT NULL UNIQUE,
    rp_id         TEXT NOT NULL,
    name          TEXT NOT NULL,
    credential    TEXT NOT NULL,
    created_at    INTEGER NOT NULL,
    last_used_at  INTEGER,
    refused_at    INTEGER
) STRICT;
CREATE INDEX passkeys_by_principal ON passkeys (principal_id);

CREATE TABLE passwords (
    principal_id BLOB PRIMARY KEY REFERENCES principals (id),
    hash         TEXT NOT NULL,
    changed_at   INTEGER NOT NULL
) STRICT;

-- `sealed` is the seed under a key outside the database; `last_step` the 30-second step of the last code that counted.
CREATE TABLE totps (
    principal_id BLOB PRIMARY KEY REFERENCES principals (id),
    sealed       BLOB NOT NULL,
    last_step    INTEGER NOT NULL,
    created_at   INTEGER NOT NULL
) STRICT;

CREATE TABLE recovery_codes (
    principal_id BLOB NOT NULL REFERENCES principals (id),
    hash         BLOB NOT NULL,
    created_at   INTEGER NOT NULL,
    used_at      INTEGER,
    PRIMARY KEY (principal_id, hash)
) STRICT;

CREATE TABLE web_sessions (
    hash         BLOB PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
    principal_id BLOB NOT NULL REFERENCES principals (id),
    method       TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    seen_at      INTEGER NOT NULL,
    ends_at      INTEGER NOT NULL,
    factor_at    INTEGER NOT NULL,
    source       TEXT NOT NULL,
    agent        TEXT NOT NULL
) STRICT;
CREATE INDEX web_sessions_by_principal ON web_sessions (principal_id);

-- The server's half of something that takes two requests; taking it deletes it.
CREATE TABLE ceremonies (
    hash         BLOB PRIMARY KEY,
    kind         TEXT NOT NULL,
    principal_id BLOB REFERENCES principals (id),
    state        TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL
) STRICT;

-- Failures of one account (`account:EMAIL`) or of one source (`source:ADDRESS`).
CREATE TABLE sign_in_attempts (
    subject      TEXT PRIMARY KEY,
    failures     INTEGER NOT NULL,
    last_at      INTEGER NOT NULL,
    locked_until INTEGER
) STRICT;

CREATE TABLE policy_acceptances (
    principal_id BLOB NOT NULL REFERENCES principals (id),
    version      TEXT NOT NULL,
    accepted_at  INTEGER NOT NULL,
    PRIMARY KEY (principal_id, version)
) STRICT;

-- Tokens of `doorward login`: short-lived, and ended with the person's sessions.
CREATE TABLE login_tokens (
    hash         BLOB PRIMARY KEY,
    id           BLOB NOT NULL UNIQUE,
    principal_id BLOB NOT NULL REFERENCES principals (id),
    name         TEXT NOT NULL,
    created_at   INTEGER NOT NULL,
    expires_at   INTEGER NOT NULL,
    factor_at    INTEGER NOT NULL,
    last_used_at INTEGER
) STRICT;
CREATE INDEX login_tokens_by_principal ON login_tokens (principal_id);

-- Who somebody is to an identity provider; never matched by email address.
CREATE TABLE identities (
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    principal_id BLOB NOT NULL REFERENCES principals (id),
    linked_at    INTEGER NOT NULL,
    last_used_at INTEGER,
    PRIMARY KEY (issuer, subject)
) STRICT;
CREATE INDEX identities_by_principal ON identities (principal_id);
