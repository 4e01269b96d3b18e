-- Compressed models: the samples that they were calibrated on, down to documents.

CREATE TABLE store.calibration_samples (
    model VARCHAR, version VARCHAR, row BIGINT, domain VARCHAR, sample_id BIGINT, tokens BIGINT, tokens_hash BIGINT
);

-- A sample that a compressed model was calibrated on, in their order; ids and hashes are as in `batches`.
CREATE OR REPLACE VIEW calibration_samples AS
SELECT model, version, row, domain, sample_id, tokens, tokens_hash FROM store.calibration_samples;

-- The documents that a compressed model was calibrated on, with where each comes from.
CREATE OR REPLACE MACRO calibration_documents(of_model, of_version) AS TABLE
WITH lengths AS (
    SELECT tokens_id, max(sequence_length) AS sequence_length FROM store.tokens GROUP BY tokens_id
), parts AS MATERIALIZED (
    SELECT c.row, c.sample_id, s.domain, s.doc_id, s.sample_start, s.doc_start, s.length,
        l.sequence_length // sample_divisor(c.sample_id) AS size,
        sample_part(c.sample_id) * (l.sequence_length // sample_divisor(c.sample_id)) AS part_start
    FROM store.calibration_samples c
    JOIN store.samples s ON s.sample_id = whole_sample(c.sample_id)
    JOIN lengths l ON l.tokens_id = s.tokens_id
    WHERE c.model = of_model AND c.version = of_version
), spans AS MATERIALIZED (
    SELECT *, greatest(sample_start, part_start) AS low, least(sample_start + length, part_start + size) AS high FROM parts
), found AS MATERIALIZED (
    SELECT doc_id, url, title, lang, source_id, record_offset FROM documents SEMI JOIN spans ON documents.doc_id = spans.doc_id
)
SELECT spans.row, spans.sample_id, spans.domain, found.lang, spans.doc_id, found.url, found.title,
    low - part_start AS sample_start, doc_start + low - sample_start AS doc_start, high - low AS length,
    sources.uri AS source, found.record_offset
FROM spans
LEFT JOIN found ON found.doc_id = spans.doc_id
LEFT JOIN sources ON sources.source_id = found.source_id
WHERE low < high
ORDER BY spans.row, sample_start;
