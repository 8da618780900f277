-- Groups: access is given to "support", not to forty people.
CREATE TABLE people_groups (
    id         UUID PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    removed_at BIGINT
);
CREATE UNIQUE INDEX people_groups_live_name ON people_groups (name) WHERE removed_at IS NULL;
CREATE TABLE group_members (
    group_id     UUID NOT NULL REFERENCES people_groups (id),
    principal_id UUID NOT NULL REFERENCES principals (id),
    joined_at    BIGINT NOT NULL,
    PRIMARY KEY (group_id, principal_id)
);
CREATE INDEX group_members_by_principal ON group_members (principal_id);

-- Grants to a group have a table of their own: a replica of the release before does not read them, and so gives nothing.
CREATE TABLE group_grants (
    id              UUID PRIMARY KEY,
    group_id        UUID NOT NULL REFERENCES people_groups (id),
    resource_id     UUID NOT NULL REFERENCES resources (id),
    not_before      BIGINT NOT NULL,
    not_after       BIGINT NOT NULL,
    requested_by    TEXT NOT NULL,
    approved_by     TEXT NOT NULL,
    reason          TEXT,
    created_at      BIGINT NOT NULL,
    revoked_at      BIGINT,
    end_recorded_at BIGINT,
    hours           TEXT,
    hours_until     BIGINT,
    CHECK (not_before < not_after),
    CHECK ((hours IS NULL) = (hours_until IS NULL))
);
CREATE INDEX group_grants_by_group ON group_grants (group_id);
CREATE INDEX group_grants_live ON group_grants (not_after) WHERE revoked_at IS NULL;
CREATE INDEX group_grants_by_resource ON group_grants (resource_id) WHERE revoked_at IS NULL;

-- Weekly hours, and the end of the occurrence that gateways were told last.
ALTER TABLE grants ADD COLUMN hours TEXT;
ALTER TABLE grants ADD COLUMN hours_until BIGINT;

-- Who answers for a resource, how long a sign-in opens it, and the longest time that one request may ask for.
ALTER TABLE resources ADD COLUMN owner_id UUID REFERENCES principals (id);
ALTER TABLE resources ADD COLUMN window_seconds BIGINT CHECK (window_seconds > 0);
ALTER TABLE resources ADD COLUMN span_max_seconds BIGINT CHECK (span_max_seconds > 0);

-- Requests for access. One of a span and an end is asked for.
CREATE TABLE requests (
    id              UUID PRIMARY KEY,
    principal_id    UUID NOT NULL REFERENCES principals (id),
    resource_id     UUID NOT NULL REFERENCES resources (id),
    span_seconds    BIGINT CHECK (span_seconds > 0),
    not_before      BIGINT,
    not_after       BIGINT,
    reason          TEXT NOT NULL,
    renews_id       UUID,
    requested_by    TEXT NOT NULL,
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('open', 'approved', 'denied', 'withdrawn', 'expired')),
    decided_by      TEXT,
    decided_at      BIGINT,
    decision_reason TEXT,
    grant_id        UUID REFERENCES grants (id),
    CHECK ((span_seconds IS NULL) <> (not_after IS NULL)),
    CHECK ((state = 'open') = (decided_at IS NULL)),
    CHECK ((state = 'approved') = (grant_id IS NOT NULL))
);
CREATE UNIQUE INDEX requests_open ON requests (principal_id, resource_id) WHERE state = 'open';
CREATE INDEX requests_by_principal ON requests (principal_id);
CREATE INDEX requests_by_time ON requests (created_at);

-- A lockdown may leave one group be.
ALTER TABLE lockdown ADD COLUMN except_group_id UUID REFERENCES people_groups (id);

-- What ends soon, told once for each end and each lead.
CREATE TABLE end_notices (
    kind         TEXT NOT NULL CHECK (kind IN ('grant', 'person', 'device')),
    subject_id   UUID NOT NULL,
    ends_at      BIGINT NOT NULL,
    lead_seconds BIGINT NOT NULL,
    principal_id UUID REFERENCES principals (id),
    group_id     UUID REFERENCES people_groups (id),
    what         TEXT NOT NULL,
    noticed_at   BIGINT NOT NULL,
    mailed_at    BIGINT,
    PRIMARY KEY (kind, subject_id, ends_at, lead_seconds)
);
CREATE INDEX end_notices_by_end ON end_notices (ends_at);
