-- How asking a directory for its people goes, one row a source: when it was asked, what came of it, and when it is asked next.
CREATE TABLE source_rounds (
    source_id   UUID PRIMARY KEY REFERENCES sources (id),
    -- What is asked and how (SHA-256): other settings are tried at once.
    settings    BYTEA NOT NULL,
    asked_at    BIGINT NOT NULL,
    next_at     BIGINT NOT NULL,
    -- Rounds in a row that failed, why the last one did, and when that was told.
    failures    BIGINT NOT NULL,
    error       TEXT,
    alerted_at  BIGINT,
    -- The last round that was read to its end.
    good_at     BIGINT,
    took_micros BIGINT NOT NULL,
    addresses   BIGINT NOT NULL,
    known       BIGINT NOT NULL,
    strangers   BIGINT NOT NULL
);
