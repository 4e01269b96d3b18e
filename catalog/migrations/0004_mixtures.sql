-- Shares of mixtures by language too, with the samples that they mean.

ALTER TABLE store.mixtures ADD COLUMN lang VARCHAR;
ALTER TABLE store.mixtures ADD COLUMN sequence_length BIGINT;
ALTER TABLE store.mixtures ADD COLUMN samples BIGINT;

CREATE OR REPLACE VIEW mixtures AS
SELECT mixture, version, phase, tokens_id, domain, share, budget_tokens, epochs, lang, sequence_length, samples
FROM store.mixtures;
