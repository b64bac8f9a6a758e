"""The command line: one module a command, and what they share.

Lives here: arguments, progress, tables, exit codes. Never here: anything that trades or computes; each command calls
the rooms below and prints what they hand back. Called by the `tercel` script.
"""
