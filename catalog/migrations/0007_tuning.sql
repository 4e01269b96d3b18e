-- Tuning runs: the rows of datasets that a step read, and models that learnt from pages through them.

ALTER TABLE store.runs ADD COLUMN datasets VARCHAR;

CREATE OR REPLACE VIEW runs AS
SELECT run, kind, parent_model, recipe, mixture, tokens_id, started_at, status, tokens, config, datasets FROM store.runs;

ALTER TABLE store.dataset_rows ADD COLUMN "class" VARCHAR;

CREATE OR REPLACE VIEW dataset_rows AS SELECT * FROM store.dataset_rows;

-- The sample id of a dataset's row in `batches`: negative, while those of packed tokens are positive.
CREATE OR REPLACE MACRO row_sample(of_row) AS -1 - ('0x' || left(of_row, 15))::BIGINT;

-- As before, for samples of tokens alone: rows of datasets have negative ids.
CREATE OR REPLACE VIEW consumed AS
WITH lengths AS (SELECT tokens_id, max(sequence_length) AS sequence_length FROM store.tokens GROUP BY tokens_id), parts AS (
    SELECT b.run, b.attempt, b.step, b.rank, b.sample_id, s.tokens_id, s.domain, s.doc_id, s.sample_start, s.doc_start,
        s.length, l.sequence_length // sample_divisor(b.sample_id) AS size,
        sample_part(b.sample_id) * (l.sequence_length // sample_divisor(b.sample_id)) AS part_start
    FROM (FROM store.batches WHERE sample_id > 0) b
    JOIN store.samples s ON s.sample_id = whole_sample(b.sample_id)
    JOIN lengths l ON l.tokens_id = s.tokens_id
), clipped AS (
    SELECT *, greatest(sample_start, part_start) AS low, least(sample_start + length, part_start + size) AS high FROM parts
)
SELECT run, attempt, step, rank, sample_id, tokens_id, domain, doc_id, low - part_start AS sample_start,
    doc_start + low - sample_start AS doc_start, high - low AS length
FROM clipped WHERE low < high;

-- The rows of datasets that a run consumed.
CREATE OR REPLACE VIEW consumed_rows AS
SELECT b.run, b.attempt, b.step, b.rank, b.sample_id, r.dataset, r.version, r.row_id, r.kind, r.lang, r.source, r.line,
    r.source_doc_id, b.tokens_hash
FROM store.batches b
JOIN store.runs u ON u.run = b.run
JOIN store.dataset_rows r ON row_sample(r.row_id) = b.sample_id AND r.dataset || '@' || r.version = u.datasets
WHERE b.sample_id < 0;

-- What a step of a tuning run read: its rows, where each comes from, and what it says; replayed text by its documents.
CREATE OR REPLACE MACRO batch_rows(of_run, of_step) AS TABLE
SELECT c.rank, c.sample_id, c.dataset, c.version, c.row_id, c.source, c.line, d.url,
    coalesce(r.messages, r.prompt, to_json(r.text)) AS said, c.source_doc_id AS doc_id
FROM consumed_rows c
JOIN store.dataset_rows r ON r.row_id = c.row_id AND r.dataset = c.dataset AND r.version = c.version
LEFT JOIN documents d ON d.doc_id = c.source_doc_id
WHERE c.run = of_run AND c.step = of_step
UNION ALL
SELECT b.rank, b.sample_id, '(pretraining text)', '', '', b.source, NULL, b.url, NULL, b.doc_id
FROM batch_documents(of_run, of_step) b
ORDER BY ALL;

-- Models whose training consumed pages of a host: as text, as rows that were derived from them, or through a parent.
CREATE OR REPLACE MACRO models_that_saw(of_host) AS TABLE
WITH RECURSIVE pages AS MATERIALIZED (SELECT doc_id FROM documents WHERE host = of_host),
runs_that AS MATERIALIZED (
    SELECT run, count(DISTINCT doc_id) AS pages, sum(length)::BIGINT AS tokens, min(step) AS first_step FROM (
        SELECT run, doc_id, length, step FROM consumed SEMI JOIN pages ON consumed.doc_id = pages.doc_id
        UNION ALL
        SELECT run, source_doc_id, NULL, step FROM consumed_rows SEMI JOIN pages ON consumed_rows.source_doc_id = pages.doc_id
    ) GROUP BY run
), seen AS (
    SELECT m.model, m.version, m.model || '@' || m.version AS ref, m.run AS through, r.pages, r.tokens, r.first_step
    FROM models m JOIN runs_that r ON r.run = m.run
    UNION
    SELECT m.model, m.version, m.model || '@' || m.version, seen.through, seen.pages, seen.tokens, seen.first_step
    FROM seen JOIN models m ON m.parent = seen.ref
)
SELECT model, version, through AS run, pages, tokens, first_step FROM seen ORDER BY model, version, through;
