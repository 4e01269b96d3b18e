"""Tuning: from a base model to one that follows instructions, by TRL and PEFT."""
