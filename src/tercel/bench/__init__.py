"""Benchmarks against peers, as one table: the question, ours, the peer's, the ratio, and whether the results agree.

Lives here: the questions written down exactly (`questions`), what a run hands back (`results`), the stopwatch
(`timing`), each peer's side (`peers`), the table (`table`) and the registry that runs it all (`run`). Never here:
anything the product needs to trade; only the command line calls this room. Peers come with the `bench` extra and are
imported inside functions, so that the table can be drawn without them.
"""
