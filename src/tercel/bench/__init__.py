"""Benchmarks against peers, as one table."""
