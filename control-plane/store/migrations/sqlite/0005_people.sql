-- The identity provider that set a membership, and may end it; without one an admin did, and a provider leaves it be.
ALTER TABLE group_members ADD COLUMN provider TEXT;

-- Whether the person has yet to accept the access policy as it is: until then the session is good for nothing else.
ALTER TABLE web_sessions ADD COLUMN policy_pending INTEGER NOT NULL DEFAULT 0 CHECK (policy_pending IN (0, 1));

-- The text of each version of the access policy that somebody may have accepted.
CREATE TABLE policies (
    version   TEXT PRIMARY KEY,
    text      TEXT NOT NULL,
    used_from INTEGER NOT NULL
) STRICT;

-- Notices that go out as mail, a row for each person who gets one. `error` is why the last try failed.
CREATE TABLE notice_mails (
    kind         TEXT NOT NULL,
    subject_id   BLOB NOT NULL,
    ends_at      INTEGER NOT NULL,
    lead_seconds INTEGER NOT NULL,
    principal_id BLOB NOT NULL REFERENCES principals (id),
    tries        INTEGER NOT NULL DEFAULT 0,
    due_at       INTEGER NOT NULL,
    mailed_at    INTEGER,
    error        TEXT,
    PRIMARY KEY (kind, subject_id, ends_at, lead_seconds, principal_id),
    FOREIGN KEY (kind, subject_id, ends_at, lead_seconds)
        REFERENCES end_notices (kind, subject_id, ends_at, lead_seconds) ON DELETE CASCADE
) STRICT;
CREATE INDEX notice_mails_waiting ON notice_mails (due_at) WHERE mailed_at IS NULL;

-- A person's devices, revoked ones too; whom somebody answers for; what a resource's owner has.
CREATE INDEX devices_by_principal ON devices (principal_id);
CREATE INDEX principals_by_sponsor ON principals (sponsor_id) WHERE sponsor_id IS NOT NULL;
CREATE INDEX resources_by_owner ON resources (owner_id) WHERE owner_id IS NOT NULL;
