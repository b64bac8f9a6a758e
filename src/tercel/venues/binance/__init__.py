"""Binance, spot and USD-M futures: market streams, orders, the account, as a connection without input or output.

The protocol is Binance's public one; docs/venues.md names the pages. `connection.BinanceConnection` is what a driver
uses; `exchange_info` gives it instruments. Nothing here opens a socket, reads a clock or keeps a secret in a text.
"""
