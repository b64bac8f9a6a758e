"""The local venue: the simulated matching core behind a server that speaks Binance's public protocol on loopback.

Called by `live` (demo, paper), `cli` and tests.
"""
