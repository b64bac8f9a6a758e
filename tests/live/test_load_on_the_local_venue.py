"""Many signed orders through one socket, each accounted for. How many a second: `tercel bench live_orders`."""

from __future__ import annotations

import asyncio
from collections import Counter

from tercel.bench.live.orders import load
from tercel.localvenue.limits import LimitRules
from tercel.localvenue.server import VenueServer
from tercel.localvenue.venue import LocalVenue, VenueSetup

N = 3000


def test_every_order_is_accounted_for():
    async def main():
        venue = LocalVenue(VenueSetup(seed=2, limits=LimitRules.none()))
        async with VenueServer(venue) as server:
            key = venue.keys[0]
            work, _ = await load(server.ws_api_url, key.key, key.secret.decode(), N, with_reports=True)
        return venue, work

    venue, work = asyncio.run(main())
    assert sum(work.answers.values()) == N
    assert set(work.answers) == {"NEW", "FILLED"}
    assert len(work.ids) == N == venue.desk.n_placed == work.reports["NEW"]
    statuses = Counter(order.status for order in venue.desk.orders.values())
    assert statuses["FILLED"] == work.answers["FILLED"] == N // 10
    assert statuses["CANCELED"] + statuses["NEW"] == work.answers["NEW"]
    assert work.reports["TRADE"] == venue.desk.n_executions
    assert venue.bank.imbalance() == {}
