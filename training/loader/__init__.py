"""Batches from a mixture: the exact order that it holds, for any number of ranks and workers, from any place in it."""
