-- From an endpoint down to a page: its model, the models that it came from, the run that read text, a sample of that
-- run's last step, the document in it, and the crawl record that the document was read from.
CREATE OR REPLACE MACRO trace_endpoint(of_endpoint) AS TABLE
WITH RECURSIVE line AS (
    SELECT 1 AS depth, m.model, m.version, m.kind, m.run, m.parent
    FROM models m JOIN endpoints e ON e.model = m.model AND e.version = m.version AND e.endpoint = of_endpoint
    UNION ALL
    SELECT line.depth + 1, m.model, m.version, m.kind, m.run, m.parent
    FROM line JOIN models m ON m.model || '@' || m.version = line.parent
), steps AS (
    SELECT line.depth, b.run, max(b.step) AS step
    FROM store.batches b JOIN line ON line.run = b.run WHERE b.sample_id > 0 GROUP BY ALL
), last_step AS MATERIALIZED (
    SELECT * FROM steps ORDER BY depth DESC LIMIT 1
), page AS MATERIALIZED (
    SELECT c.run, c.step, c.sample_id, c.doc_id, c.length, c.domain
    FROM consumed c JOIN last_step l ON l.run = c.run AND l.step = c.step
    ORDER BY c.length DESC, c.sample_id, c.doc_start LIMIT 1
), hops AS (
    SELECT 0 AS sort, 'endpoint' AS what, endpoint AS name, url AS place, status AS detail
    FROM endpoints WHERE endpoint = of_endpoint
    UNION ALL
    SELECT depth, 'model', model || '@' || version, 'models/' || model || '/' || version,
        concat_ws(', ', kind, 'run ' || nullif(run, ''), 'from ' || nullif(parent, ''))
    FROM line
    UNION ALL
    SELECT 1_000_001, 'batch', run, 'step ' || step, 'sample ' || sample_id || ', ' || length || ' tokens, ' || domain
    FROM page
    UNION ALL
    SELECT 1_000_002, 'document', page.doc_id, d.url,
        concat_ws(', ', nullif(d.title, ''), d.lang, d.n_chars || ' characters')
    FROM page LEFT JOIN documents d ON d.doc_id = page.doc_id
    UNION ALL
    SELECT 1_000_003, 'crawl', left(s.source_id, 12), s.uri, 'record ' || d.ordinal || ' at byte ' || d.record_offset
    FROM page JOIN documents d ON d.doc_id = page.doc_id JOIN sources s ON s.source_id = d.source_id
)
SELECT row_number() OVER (ORDER BY sort) AS hop, what, name, place, detail FROM hops ORDER BY hop;
