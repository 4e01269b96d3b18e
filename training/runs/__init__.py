"""Training runs: what was consumed, what was measured and what was saved, on record while it happens."""
