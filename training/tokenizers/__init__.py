"""Tokenizers: trained on a corpus, measured on held-out documents, extended, loaded by name."""
