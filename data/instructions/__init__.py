"""Instruction and preference data: from files of any usual format, or from a corpus, to one form in the catalog."""
