-- How asking a directory for its people goes, one row a source: when it was asked, what came of it, and when it is asked next.
CREATE TABLE source_rounds (
    source_id   BLOB PRIMARY KEY REFERENCES sources (id),
    -- What is asked and how (SHA-256): other settings are tried at once.
    settings    BLOB NOT NULL,
    asked_at    INTEGER NOT NULL,
    next_at     INTEGER NOT NULL,
    -- Rounds in a row that failed, why the last one did, and when that was told.
    failures    INTEGER NOT NULL,
    error       TEXT,
    alerted_at  INTEGER,
    -- The last round that was read to its end.
    good_at     INTEGER,
    took_micros INTEGER NOT NULL,
    addresses   INTEGER NOT NULL,
    known       INTEGER NOT NULL,
    strangers   INTEGER NOT NULL
) STRICT;
