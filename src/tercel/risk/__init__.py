"""Limits and the compiled gate every order passes.

Lives here: `Limits` as people state them (`limits`), and the kernels that judge orders, watch equity and halt trading
(`gate`). Never here: order states, positions (read only), sending. The engine calls the gate; a refusal is a reason
code that becomes a REFUSED row.
"""
