-- Instruction and preference data: the rows of every dataset, with the page that each was derived from.

ALTER TABLE store.datasets ADD COLUMN train BIGINT;
ALTER TABLE store.datasets ADD COLUMN held_out BIGINT;
ALTER TABLE store.datasets ADD COLUMN dropped BIGINT;
ALTER TABLE store.datasets ADD COLUMN failed BIGINT;

-- `messages`, `prompt`, `chosen`, `rejected`, `completion` and `tools` are JSON texts; a kind has some of them.
CREATE TABLE store.dataset_rows (
    dataset VARCHAR, version VARCHAR, row_id VARCHAR, split VARCHAR, kind VARCHAR, source VARCHAR, source_doc_id VARCHAR,
    lang VARCHAR, line BIGINT, n_chars BIGINT, messages VARCHAR, tools VARCHAR, prompt VARCHAR, chosen VARCHAR,
    rejected VARCHAR, completion VARCHAR, label BOOLEAN, text VARCHAR
);

CREATE OR REPLACE VIEW datasets AS
SELECT dataset, version, kind, rows, config, train, held_out, dropped, failed FROM store.datasets;

CREATE OR REPLACE VIEW dataset_rows AS SELECT * FROM store.dataset_rows;
