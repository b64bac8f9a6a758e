"""The live driver: one call stack from the wire to the order, its journal, start, stop, recovery and actors.

Called by `cli`. No trading rule lives here: what the engine decides here it decides in a backtest.
"""
