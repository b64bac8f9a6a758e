"""Tapes on disk and the importers that make them.

Lives here: the columnar tape and its mapped cache, the scheduling of rows by their two clocks, and readers of foreign
captures and files that turn text into EVENT rows. Never here: sockets, books, strategies, simulation. Called by the
drivers of `sim` and `live`, by `observe` for what a tape holds, and by the command line.
"""
