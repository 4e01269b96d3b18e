"""Models: sizes, objectives, attention within documents, optimizers, the one adapter to Composer, export, estimates."""
