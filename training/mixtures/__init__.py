"""Mixtures: which samples a run reads, how often and in which order, settled before a GPU is rented."""
