"""The vocabulary: units, instruments, EVENT and COMMAND rows, signals.

Lives here: what a row is, what a price is, and the numbers that name kinds, sides, states and reasons. Never here:
behaviour that changes state, files, clocks or sockets. Every other room imports this one.
"""
