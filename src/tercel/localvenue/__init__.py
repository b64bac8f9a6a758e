"""The local venue: the simulated matching core behind a server that speaks Binance's public protocol on loopback.

`venue.LocalVenue` is the whole venue without sockets and clocks; `server` puts it on sockets. No trading rule of the
engine lives here, and nothing here is imported by a room below. Called by `live` (demo, paper), `cli` and tests.
"""
