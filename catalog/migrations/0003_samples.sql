-- What is in a training sample, also where a batch took only a part of it (see training/sample_ids.py).

-- The whole sample that a sample id, of a part or not, belongs to: the id as `samples` has it.
CREATE OR REPLACE MACRO whole_sample(sample) AS ((sample::BIGINT >> 6) << 6) | 1;

-- Into how many parts the sample was cut that the id names (1: none), and which of them it is, from 0.
CREATE OR REPLACE MACRO sample_divisor(sample) AS
    1::BIGINT << floor(log2(greatest(sample::BIGINT & 63, 1)))::INTEGER;

CREATE OR REPLACE MACRO sample_part(sample) AS (sample::BIGINT & 63) - sample_divisor(sample);

-- The documents of a sample, or of a part of one, in order: `sample_start` counts from the start of the part,
-- `doc_start` and `length` are the tokens of the document that stand in it.
CREATE OR REPLACE MACRO sample_documents(sample) AS TABLE
WITH spans AS MATERIALIZED (
    SELECT s.tokens_id, s.domain, s.doc_id, s.sample_start, s.doc_start, s.length,
        t.sequence_length // sample_divisor(sample) AS size
    FROM samples s
    JOIN (SELECT tokens_id, max(sequence_length) AS sequence_length FROM tokens GROUP BY tokens_id) t
        ON t.tokens_id = s.tokens_id
    WHERE s.sample_id = whole_sample(sample)
), clipped AS (
    SELECT *, greatest(sample_start, sample_part(sample) * size) AS low,
        least(sample_start + length, (sample_part(sample) + 1) * size) AS high
    FROM spans
), held AS MATERIALIZED (SELECT * FROM clipped WHERE low < high), found AS MATERIALIZED (
    SELECT doc_id, url, title FROM documents SEMI JOIN held ON documents.doc_id = held.doc_id
)
SELECT held.tokens_id, held.domain, held.doc_id, found.url, found.title,
    held.low - sample_part(sample) * held.size AS sample_start, held.doc_start + held.low - held.sample_start AS doc_start,
    held.high - held.low AS length
FROM held LEFT JOIN found ON found.doc_id = held.doc_id
ORDER BY sample_start;
