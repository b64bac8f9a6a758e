"""Venue protocols without input or output: bytes to EVENT rows, COMMAND rows to bytes, one folder a venue.

Nothing here opens a socket or reads a clock: whoever drives a connection hands in bytes and the time, and carries out
the effects it asks for (`contract`). Called by `live`, `localvenue` and tests.
"""
