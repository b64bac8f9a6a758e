"""The simulated world: latency, queue position, matching, fees, market simulator, backtest driver."""
