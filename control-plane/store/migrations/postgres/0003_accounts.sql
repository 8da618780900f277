-- What a person may do for others, and when they last signed in.
ALTER TABLE principals ADD COLUMN role TEXT NOT NULL DEFAULT 'member'
    CHECK (role IN ('owner', 'admin', 'approver', 'auditor', 'member'));
ALTER TABLE principals ADD COLUMN signed_in_at BIGINT;

-- From when on a device's sign-in window is shut until the next sign-in: its key was used from two places.
ALTER TABLE devices ADD COLUMN window_closed_at BIGINT;

-- Single-use links. A setup link has no person: whoever opens it becomes an owner. Hashes are SHA-256 of 256 random bits.
CREATE TABLE invitations (
    hash         BYTEA PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('setup', 'join')),
    principal_id UUID REFERENCES principals (id),
    created_at   BIGINT NOT NULL,
    created_by   TEXT NOT NULL,
    expires_at   BIGINT NOT NULL,
    used_at      BIGINT,
    replaced_at  BIGINT,
    CHECK ((kind = 'join') = (principal_id IS NOT NULL))
);
CREATE INDEX invitations_by_principal ON invitations (principal_id);

-- What the browser keeps the private half of; `rp_id` is the site that it is bound to.
CREATE TABLE passkeys (
    id            UUID PRIMARY KEY,
    principal_id  UUID NOT NULL REFERENCES principals (id),
    credential_id BYTEA NOT NULL UNIQUE,
    rp_id         TEXT NOT NULL,
    name          TEXT NOT NULL,
    credential    TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    last_used_at  BIGINT,
    refused_at    BIGINT
);
CREATE INDEX passkeys_by_principal ON passkeys (principal_id);

CREATE TABLE passwords (
    principal_id UUID PRIMARY KEY REFERENCES principals (id),
    hash         TEXT NOT NULL,
    changed_at   BIGINT NOT NULL
);

-- `sealed` is the seed under a key outside the database; `last_step` the 30-second step of the last code that counted.
CREATE TABLE totps (
    principal_id UUID PRIMARY KEY REFERENCES principals (id),
    sealed       BYTEA NOT NULL,
    last_step    BIGINT NOT NULL,
    created_at   BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    principal_id UUID NOT NULL REFERENCES principals (id),
    hash         BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    used_at      BIGINT,
    PRIMARY KEY (principal_id, hash)
);

CREATE TABLE web_sessions (
    hash         BYTEA PRIMARY KEY,
    id           UUID NOT NULL UNIQUE,
    principal_id UUID NOT NULL REFERENCES principals (id),
    method       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    seen_at      BIGINT NOT NULL,
    ends_at      BIGINT NOT NULL,
    factor_at    BIGINT NOT NULL,
    source       TEXT NOT NULL,
    agent        TEXT NOT NULL
);
CREATE INDEX web_sessions_by_principal ON web_sessions (principal_id);

-- The server's half of something that takes two requests; taking it deletes it.
CREATE TABLE ceremonies (
    hash         BYTEA PRIMARY KEY,
    kind         TEXT NOT NULL,
    principal_id UUID REFERENCES principals (id),
    state        TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);

-- Failures of one account (`account:EMAIL`) or of one source (`source:ADDRESS`).
CREATE TABLE sign_in_attempts (
    subject      TEXT PRIMARY KEY,
    failures     BIGINT NOT NULL,
    last_at      BIGINT NOT NULL,
    locked_until BIGINT
);

CREATE TABLE policy_acceptances (
    principal_id UUID NOT NULL REFERENCES principals (id),
    version      TEXT NOT NULL,
    accepted_at  BIGINT NOT NULL,
    PRIMARY KEY (principal_id, version)
);

-- Tokens of `doorward login`: short-lived, and ended with the person's sessions.
CREATE TABLE login_tokens (
    hash         BYTEA PRIMARY KEY,
    id           UUID NOT NULL UNIQUE,
    principal_id UUID NOT NULL REFERENCES principals (id),
    name         TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    factor_at    BIGINT NOT NULL,
    last_used_at BIGINT
);
CREATE INDEX login_tokens_by_principal ON login_tokens (principal_id);

-- Who somebody is to an identity provider; never matched by email address.
CREATE TABLE identities (
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    principal_id UUID NOT NULL REFERENCES principals (id),
    linked_at    BIGINT NOT NULL,
    last_used_at BIGINT,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX identities_by_principal ON identities (principal_id);
