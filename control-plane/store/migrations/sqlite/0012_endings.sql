-- What ended with somebody, and which gateway confirmed it when, is looked for by whom it was about and by its time.
CREATE INDEX audit_by_subject ON audit (subject);
CREATE INDEX receipts_by_decision ON receipts (decided_at);
-- Whether somebody uses a key is asked with what else counts as use, which no index answers.
DROP INDEX devices_by_use;
