-- Endpoints: the newest start of each; its status is asked for when a catalog is opened (catalog/endpoints.py).

CREATE OR REPLACE VIEW endpoints AS
SELECT endpoint, model, version, url, started_at,
    CASE list_contains(getvariable('endpoints_up')::VARCHAR[], endpoint)
        WHEN true THEN 'up' WHEN false THEN 'down' ELSE 'unknown' END AS status
FROM store.endpoints
QUALIFY row_number() OVER (PARTITION BY endpoint ORDER BY started_at DESC) = 1;
