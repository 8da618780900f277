-- Decisions to take something away, by id: each is written once, however often somebody tries.
CREATE TABLE decisions (
    id         UUID PRIMARY KEY,
    decided_at BIGINT NOT NULL,
    written_at BIGINT NOT NULL
);
CREATE INDEX decisions_by_written_at ON decisions (written_at);
