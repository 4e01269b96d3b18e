"""A corpus version, or text files, as packed samples of token ids in MDS, with the table of what is in each sample."""
