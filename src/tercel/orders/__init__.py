"""The life of our orders, and what fills do to positions and money.

Lives here: the order states and their one transition table (`lifecycle`), the table of living orders (`table`), exact
integer money (`money`) and the account of each instrument (`positions`). Never here: limits, matching, wires, or the
choice of what to send. The engine calls the kernels; `sim`, `risk` and reports read the records.
"""
