-- A row for each table that World::new leaves empty. The test says which table has none: add one here with the migration.
INSERT INTO gateways (id, name, enrolled_at) VALUES (x'0000000000000000000000000000aa01', 'berlin', 1);
INSERT INTO gateway_tokens (hash, gateway, created_at, expires_at) VALUES (x'0102', 'berlin', 1, 2);
INSERT INTO api_tokens (hash, name, created_at, created_by) VALUES (x'00ff', 'ci "quoted" \ and ''more''', 1, 'local:0');
INSERT INTO receipts (gateway_id, revision, decided_at, enforced_at, enforced_after_ms, last_packets)
    VALUES (x'0000000000000000000000000000aa01', 1, 5, 6, NULL, '[]');
INSERT INTO alerts (at, kind, gateway, message, count) VALUES (1, 'gateway_lost', NULL, 'Zoë: 日本 ☂', 9223372036854775807);
INSERT INTO alerts (at, kind, gateway, message, count) VALUES (2, 'gateway_lost', 'berlin', '', 0);
INSERT INTO invitations (hash, kind, principal_id, created_at, created_by, expires_at)
    VALUES (x'01', 'setup', NULL, 1, 'local:0', 2);
INSERT INTO passkeys (id, principal_id, credential_id, rp_id, name, credential, created_at)
    SELECT x'0000000000000000000000000000aa02', id, x'', 'door', 'key', '{"a": [1, "\u0001"]}', 1 FROM principals WHERE kind = 'staff';
INSERT INTO passwords (principal_id, hash, changed_at) SELECT id, '$argon2id$', 1 FROM principals WHERE kind = 'staff';
INSERT INTO totps (principal_id, sealed, last_step, created_at) SELECT id, x'deadbeef', 3, 1 FROM principals WHERE kind = 'staff';
INSERT INTO recovery_codes (principal_id, hash, created_at) SELECT id, x'05', 1 FROM principals WHERE kind = 'staff';
INSERT INTO web_sessions (hash, id, principal_id, method, created_at, seen_at, ends_at, factor_at, source, agent)
    SELECT x'06', x'0000000000000000000000000000aa03', id, 'passkey', 1, 1, 2, 1, '192.0.2.1', 'x' FROM principals WHERE kind = 'staff';
INSERT INTO ceremonies (hash, kind, state, created_at, expires_at) VALUES (x'07', 'join', '{}', 1, 2);
INSERT INTO sign_in_attempts (subject, failures, last_at) VALUES ('source:192.0.2.1', 3, 1);
INSERT INTO policy_acceptances (principal_id, version, accepted_at) SELECT id, 'v', 1 FROM principals WHERE kind = 'staff';
INSERT INTO login_tokens (hash, id, principal_id, name, created_at, expires_at, factor_at)
    SELECT x'08', x'0000000000000000000000000000aa04', id, 'laptop', 1, 2, 1 FROM principals WHERE kind = 'staff';
INSERT INTO identities (issuer, subject, principal_id, linked_at) SELECT 'https://id', 's', id, 1 FROM principals WHERE kind = 'staff';
INSERT INTO people_groups (id, name, created_at) VALUES (x'0000000000000000000000000000aa05', 'support', 1);
INSERT INTO group_members (group_id, principal_id, joined_at) SELECT x'0000000000000000000000000000aa05', id, 1 FROM principals;
INSERT INTO group_grants (id, group_id, resource_id, not_before, not_after, requested_by, approved_by, created_at)
    SELECT x'0000000000000000000000000000aa06', x'0000000000000000000000000000aa05', id, 1, 2, 'a', 'b', 1 FROM resources;
INSERT INTO requests (id, principal_id, resource_id, span_seconds, reason, requested_by, created_at, expires_at, state, decided_at, grant_id)
    SELECT x'0000000000000000000000000000aa07', g.principal_id, g.resource_id, 60, 'why', 'a', 1, 2, 'approved', 1, g.id FROM grants g;
INSERT INTO end_notices (kind, subject_id, ends_at, lead_seconds, what, noticed_at)
    VALUES ('grant', x'0000000000000000000000000000aa08', 9, 60, 'panel', 1);
INSERT INTO notice_mails (kind, subject_id, ends_at, lead_seconds, principal_id, due_at)
    SELECT 'grant', x'0000000000000000000000000000aa08', 9, 60, id, 1 FROM principals WHERE kind = 'staff';
INSERT INTO policies (version, text, used_from) VALUES ('v', 'Be kind.', 1);
INSERT INTO replicas (id, name, version, started_at, heard_at) VALUES (x'0000000000000000000000000000aa09', 'a', '0', 1, 1);
INSERT INTO gateway_sessions (gateway, session_id, replica_id, devices_active, devices_known, heard_at)
    VALUES ('berlin', x'0000000000000000000000000000aa0a', x'0000000000000000000000000000aa09', 1, 1, 1);
INSERT INTO confirmations (replica_id, gateway, revision, heard_at, enforced_after_micros, ended)
    VALUES (x'0000000000000000000000000000aa09', 'berlin', 1, 1, 1, '[]');
INSERT INTO site_keys (name, fingerprint, kept_at) VALUES ('seal key', x'00', 1);
-- Somebody who is answered for by a row that comes after their own.
INSERT INTO principals (id, email, name, kind, sponsor_id, state, created_at, changed_at)
    SELECT x'00000000000000000000000000000001', 'first@agency.example', 'First', 'contractor', id, 'active', 1, 1 FROM principals WHERE kind = 'staff';
INSERT INTO sources (id, name, created_at) VALUES (x'0000000000000000000000000000aa0b', 'okta', 1);
INSERT INTO source_tokens (hash, source_id, created_at, created_by) VALUES (x'09', x'0000000000000000000000000000aa0b', 1, 'local:0');
INSERT INTO accounts (id, source_id, principal_id, user_name, user_name_key, profile, created_at, changed_at)
    SELECT x'0000000000000000000000000000aa0c', x'0000000000000000000000000000aa0b', id, 'Zoë', 'zoë', '{}', 1, 1 FROM principals WHERE kind = 'staff';
INSERT INTO source_groups (group_id, source_id, display_name, created_at, changed_at)
    VALUES (x'0000000000000000000000000000aa05', x'0000000000000000000000000000aa0b', 'Support', 1, 1);
INSERT INTO decisions (id, decided_at, written_at) VALUES (x'0000000000000000000000000000aa0d', 1, 2);
INSERT INTO hook_secrets (id, source_id, sealed, created_at, created_by)
    VALUES (x'0000000000000000000000000000aa0e', x'0000000000000000000000000000aa0b', x'00ff', 1, 'local:0');
INSERT INTO hook_deliveries (source_id, delivery, begun_at) VALUES (x'0000000000000000000000000000aa0b', x'0a', 1);
INSERT INTO source_rounds (source_id, settings, asked_at, next_at, failures, error, took_micros, addresses, known, strangers)
    VALUES (x'0000000000000000000000000000aa0b', x'00ff', 1, 2, 1, 'no answer', 0, 0, 0, 0);
