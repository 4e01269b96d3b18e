"""Whole stories in one command."""
