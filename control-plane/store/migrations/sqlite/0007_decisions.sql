-- Decisions to take something away, by id: each is written once, however often somebody tries.
CREATE TABLE decisions (
    id         BLOB PRIMARY KEY,
    decided_at INTEGER NOT NULL,
    written_at INTEGER NOT NULL
) STRICT;
CREATE INDEX decisions_by_written_at ON decisions (written_at);
