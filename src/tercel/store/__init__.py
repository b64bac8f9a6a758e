"""Tapes on disk and the importers that make them."""
