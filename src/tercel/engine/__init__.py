"""The state block and the one synchronous step over it."""
