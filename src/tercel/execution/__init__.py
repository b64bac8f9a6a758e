"""How an order is worked: execution algorithms, the choice of venue, market impact, measured latency.

Lives here: the records of these and the kernels that decide (which child to send next, which venue scores highest).
Never here: sending. `strategy` starts algorithms and asks for routes, `engine` carries decisions out; both call down.
"""
