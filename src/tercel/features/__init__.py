"""Indicators and microstructure measures, usable inside strategies."""
