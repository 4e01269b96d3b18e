-- Training runs: hashes of what was in a batch, losses by row, and the questions that are asked of a run.

ALTER TABLE store.batches ADD COLUMN tokens_hash BIGINT;

CREATE TABLE store.row_losses (run VARCHAR, attempt INTEGER, step BIGINT, sample_id BIGINT, loss DOUBLE, tokens BIGINT);

-- `tokens_hash` is the XXH3 (64 bits) of the row's token ids (int64, little-endian) as they went into the model.
CREATE OR REPLACE VIEW batches AS
SELECT run, attempt, step, rank, domain, sample_id, tokens_hash FROM store.batches;

-- The loss (nats, summed over `tokens`) of each row of a batch, where the run was asked to keep them.
CREATE OR REPLACE VIEW row_losses AS SELECT * FROM store.row_losses;

-- The spans of documents that a run consumed, clipped to the parts of samples that it read.
CREATE OR REPLACE VIEW consumed AS
WITH lengths AS (SELECT tokens_id, max(sequence_length) AS sequence_length FROM store.tokens GROUP BY tokens_id), parts AS (
    SELECT b.run, b.attempt, b.step, b.rank, b.sample_id, s.tokens_id, s.domain, s.doc_id, s.sample_start, s.doc_start,
        s.length, l.sequence_length // sample_divisor(b.sample_id) AS size,
        sample_part(b.sample_id) * (l.sequence_length // sample_divisor(b.sample_id)) AS part_start
    FROM store.batches b
    JOIN store.samples s ON s.sample_id = whole_sample(b.sample_id)
    JOIN lengths l ON l.tokens_id = s.tokens_id
), clipped AS (
    SELECT *, greatest(sample_start, part_start) AS low, least(sample_start + length, part_start + size) AS high FROM parts
)
SELECT run, attempt, step, rank, sample_id, tokens_id, domain, doc_id, low - part_start AS sample_start,
    doc_start + low - sample_start AS doc_start, high - low AS length
FROM clipped WHERE low < high;

-- What was in the batch of a step, document by document, with where each comes from.
CREATE OR REPLACE MACRO batch_documents(of_run, of_step) AS TABLE
WITH spans AS MATERIALIZED (SELECT * FROM consumed WHERE run = of_run AND step = of_step),
found AS MATERIALIZED (
    SELECT doc_id, url, title, lang, source_id, record_offset FROM documents SEMI JOIN spans ON documents.doc_id = spans.doc_id
)
SELECT spans.rank, spans.sample_id, spans.domain, found.lang, spans.doc_id, found.url, found.title, spans.sample_start,
    spans.doc_start, spans.length, sources.uri AS source, found.record_offset
FROM spans
LEFT JOIN found ON found.doc_id = spans.doc_id
LEFT JOIN sources ON sources.source_id = found.source_id
ORDER BY spans.rank, spans.sample_id, spans.sample_start;

-- How many tokens of a document each run consumed, and how often (tokens over those that the document has).
CREATE OR REPLACE MACRO exposure(document) AS TABLE
WITH spans AS (SELECT tokens_id, sum(length) AS tokens FROM store.samples WHERE doc_id = document GROUP BY tokens_id)
SELECT c.run, c.tokens_id, sum(c.length)::BIGINT AS tokens, round(sum(c.length) / any_value(s.tokens), 3) AS times,
    min(c.step) AS first_step, max(c.step) AS last_step
FROM consumed c JOIN spans s ON s.tokens_id = c.tokens_id
WHERE c.doc_id = document
GROUP BY c.run, c.tokens_id ORDER BY c.run;

-- Models whose training consumed pages of a host, themselves or through a parent, with how many tokens and from when.
CREATE OR REPLACE MACRO models_that_saw(of_host) AS TABLE
WITH RECURSIVE pages AS MATERIALIZED (SELECT doc_id FROM documents WHERE host = of_host),
runs_that AS MATERIALIZED (
    SELECT run, count(DISTINCT doc_id) AS pages, sum(length)::BIGINT AS tokens, min(step) AS first_step
    FROM consumed SEMI JOIN pages ON consumed.doc_id = pages.doc_id GROUP BY run
), seen AS (
    SELECT m.model, m.version, m.model || '@' || m.version AS ref, m.run AS through, r.pages, r.tokens, r.first_step
    FROM models m JOIN runs_that r ON r.run = m.run
    UNION
    SELECT m.model, m.version, m.model || '@' || m.version, seen.through, seen.pages, seen.tokens, seen.first_step
    FROM seen JOIN models m ON m.parent = seen.ref
)
SELECT model, version, through AS run, pages, tokens, first_step FROM seen ORDER BY model, version, through;

-- Where a run's tokens come from: hosts and crawl files, the most tokens first.
CREATE OR REPLACE MACRO run_sources(of_run) AS TABLE
WITH spans AS MATERIALIZED (
    SELECT doc_id, domain, sum(length) AS tokens, min(step) AS first_step FROM consumed WHERE run = of_run GROUP BY ALL
), found AS MATERIALIZED (
    SELECT doc_id, host, source_id FROM documents SEMI JOIN spans ON documents.doc_id = spans.doc_id
)
SELECT found.host, spans.domain, sources.uri AS source, count(DISTINCT spans.doc_id) AS documents,
    sum(spans.tokens)::BIGINT AS tokens, round(sum(spans.tokens) / sum(sum(spans.tokens)) OVER (), 4) AS share
FROM spans
LEFT JOIN found ON found.doc_id = spans.doc_id
LEFT JOIN sources ON sources.source_id = found.source_id
GROUP BY ALL ORDER BY tokens DESC, host;
