"""The event loop, offload pool, channels, priorities, actors and their supervisor. Knows no venue and no engine.

Called by `live`, `localvenue` and `cli`.
"""
