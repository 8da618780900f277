-- The provider's own name for the session that somebody signed in with last: a logout may name that alone.
ALTER TABLE identities ADD COLUMN sid TEXT;
CREATE INDEX identities_by_sid ON identities (issuer, sid);
