"""The questions of `tercel bench live`: from the wire to the order, over loopback where a wire is meant.

One module a group of questions; each makes both sides, compares what they decoded or did, and returns rows of the one
table. Called by `bench.run`.
"""
