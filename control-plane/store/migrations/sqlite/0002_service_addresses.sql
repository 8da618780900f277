-- A resource's number among the service addresses (TunnelNetwork::service_address). It stays with a removed resource, whose
-- removed_at says from when on it rests; only what was removed before there were service addresses, and what a replica of
-- the release before adds meanwhile, has none.
ALTER TABLE resources ADD COLUMN service_slot INTEGER CHECK (service_slot >= 0);
UPDATE resources SET service_slot = numbered.slot
FROM (
    SELECT id, ROW_NUMBER() OVER (ORDER BY created_at, id) - 1 AS slot FROM resources WHERE removed_at IS NULL
) AS numbered
WHERE resources.id = numbered.id;
CREATE UNIQUE INDEX resources_live_service_slot ON resources (service_slot) WHERE removed_at IS NULL;
CREATE INDEX resources_service_slot ON resources (service_slot);

-- What a gateway said in its hello: whether it resolves every name (0 or 1), and its UDP ports as a JSON array.
ALTER TABLE gateways ADD COLUMN resolver INTEGER NOT NULL DEFAULT 0 CHECK (resolver IN (0, 1));
ALTER TABLE gateways ADD COLUMN ports TEXT NOT NULL DEFAULT '[]';
