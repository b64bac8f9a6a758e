"""The enhanced client against a real server: what comes before what, what is sent how often, what it learns."""

import asyncio

import pytest
from aiohttp import web

from tercel.clock import HandClock
from tercel.net.breaker import CircuitState
from tercel.net.enhanced import EnhancedClient
from tercel.net.limits import EndpointLimiter, Rate
from tercel.net.rest import RequestError, RestClient
from tercel.net.retry import RetryPolicy

S = 1_000_000_000


class Scene:
    """A server that plays `script` (status, headers or a callable), and an enhanced client on a hand clock."""

    def __init__(self, script, *, limiter=None, **options):
        self.script, self.seen, self.naps = list(script), [], []
        self.hand = HandClock()
        self.limiter = limiter or EndpointLimiter(0)
        self.options = options

    async def handle(self, request):
        self.seen.append((request.method, request.raw_path, dict(request.headers), await request.read()))
        step = self.script.pop(0) if self.script else 200
        if callable(step):
            return await step(request)
        status, headers = step if isinstance(step, tuple) else (step, {})
        return web.Response(status=status, headers=headers, text="x")

    async def sleep(self, wait_s):
        self.naps.append(wait_s)
        self.hand.advance(max(round(wait_s * 1e9), 1))
        await asyncio.sleep(0)

    async def __aenter__(self):
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{site._server.sockets[0].getsockname()[1]}"
        self.rest = RestClient()
        self.client = EnhancedClient(
            self.rest,
            self.limiter,
            now=self.hand.monotonic_ns,
            sleep=self.sleep,
            random=lambda: 0.5,
            **self.options,
        )
        return self

    async def __aexit__(self, *exc):
        await self.rest.close()
        await self.runner.cleanup()


def run(main):
    """The limit is no assertion: it turns a test that would hang into one that fails."""
    return asyncio.run(asyncio.wait_for(main, 60))


class Auth:
    """Signs with a counter; `renew` hands out the next token."""

    def __init__(self, *, can_renew=True):
        self.n_signed, self.n_renewed, self.token, self.can_renew = 0, 0, 1, can_renew
        self.before_sign = None

    async def authorize(self, method, url, body):
        if self.before_sign is not None:
            self.before_sign()
        self.n_signed += 1
        await asyncio.sleep(0)
        return f"{url}?n={self.n_signed}", {"X-Token": str(self.token)}

    async def renew(self):
        self.n_renewed += 1
        self.token += 1
        return self.can_renew


async def hang_up(request):
    request.transport.abort()
    return web.Response()


def test_each_attempt_is_signed_anew_and_counted_by_the_limits():
    async def main():
        auth = Auth()
        limiter = EndpointLimiter(0, overall=Rate(100, 0.001))
        async with Scene([429, 429, 200], auth=auth, limiter=limiter) as scene:
            answer = await scene.client.make_request("POST", scene.url + "/order", b"b", endpoint="order", weight=5)
            assert answer.status == 200
            assert [path for _, path, _, _ in scene.seen] == ["/order?n=1", "/order?n=2", "/order?n=3"]
            assert {body for _, _, _, body in scene.seen} == {b"b"}
            assert scene.naps == [0.1, 0.2]
            assert limiter.n_left("order", scene.hand.monotonic_ns()) == 85
            assert len(scene.client.latencies["order"]) == 3

    run(main())


def test_the_limits_are_waited_for_before_any_lock_is_taken():
    async def main():
        auth = Auth()
        limiter = EndpointLimiter(0, endpoints={"slow": Rate(1, 1.0)})
        async with Scene([], auth=auth, limiter=limiter) as scene:
            await scene.client.make_request("GET", scene.url, endpoint="slow")
            was_locked = []
            plain_sleep = scene.sleep

            async def sleep(wait_s):
                was_locked.append(scene.client._lock.locked())
                # Another request passes, authentication and all, while the first one waits for its limit.
                await scene.client.make_request("GET", scene.url, endpoint="quick")
                await plain_sleep(wait_s)

            scene.client._throttle._sleep = sleep
            await scene.client.make_request("GET", scene.url, endpoint="slow")
            assert was_locked == [False]
            assert len(scene.seen) == 3

    run(main())


def test_requests_are_under_way_together_though_signing_is_one_at_a_time():
    async def main():
        gate, n_inside = asyncio.Event(), 0

        async def wait_for_all(request):
            nonlocal n_inside
            n_inside += 1
            if n_inside == 5:
                gate.set()
            await gate.wait()
            return web.Response()

        async with Scene([wait_for_all] * 5, auth=Auth()) as scene:
            requests = (scene.client.make_request("GET", scene.url, endpoint="x") for _ in range(5))
            assert [answer.status for answer in await asyncio.gather(*requests)] == [200] * 5

    run(main())


def test_an_order_whose_bytes_left_is_never_sent_twice():
    async def main():
        async with Scene([hang_up]) as scene:
            with pytest.raises(RequestError) as caught:
                await scene.client.make_request("POST", scene.url + "/order", endpoint="order")
            assert caught.value.was_sent
            assert len(scene.seen) == 1
            assert scene.naps == []

    run(main())


def test_what_may_be_repeated_is_and_its_error_says_that_bytes_left():
    async def main():
        async with Scene([hang_up] * 4, policy=RetryPolicy(max_retries=3)) as scene:
            with pytest.raises(RequestError) as caught:
                await scene.client.make_request("GET", scene.url, endpoint="depth", is_repeatable=True)
            assert caught.value.was_sent
            assert len(scene.seen) == 4
            assert scene.naps == [0.1, 0.2, 0.4]

    run(main())


def test_a_401_renews_once_and_repeats_once():
    async def main():
        auth = Auth()
        async with Scene([401, 200], auth=auth) as scene:
            answer = await scene.client.make_request("POST", scene.url, endpoint="order")
            assert answer.status == 200
            assert [headers["X-Token"] for _, _, headers, _ in scene.seen] == ["1", "2"]
        async with Scene([401, 401, 200], auth=auth) as scene:
            assert (await scene.client.make_request("POST", scene.url, endpoint="order")).status == 401
            assert len(scene.seen) == 2
        async with Scene([401, 200], auth=Auth(can_renew=False)) as scene:
            assert (await scene.client.make_request("POST", scene.url, endpoint="order")).status == 401
            assert len(scene.seen) == 1

    run(main())


def test_it_learns_the_venue_s_count_and_its_pauses():
    async def main():
        limiter = EndpointLimiter(0, overall=Rate(1000, 0.001))
        script = [(200, {"X-MBX-USED-WEIGHT-1M": "990"}), (429, {"Retry-After": "7"}), (418, {"Retry-After": "600"})]
        async with Scene(script, limiter=limiter, used_header="x-mbx-used-weight-1m") as scene:
            await scene.client.make_request("GET", scene.url, endpoint="depth")
            assert limiter.n_left("depth", 0) == 10
            answer = await scene.client.make_request("GET", scene.url, endpoint="depth", is_repeatable=True)
            assert answer.status == 418
            assert scene.naps == [7.0]
            now_ns = scene.hand.monotonic_ns()
            assert limiter.try_acquire("depth", 1, now_ns) == 600 * S

    run(main())


def test_the_breaker_opens_sends_nothing_and_closes_again():
    async def main():
        async with Scene([500] * 5, policy=RetryPolicy(max_retries=0)) as scene:
            for _ in range(5):
                assert (await scene.client.make_request("GET", scene.url, endpoint="x")).status == 500
            assert scene.client.breaker.state is CircuitState.OPEN
            with pytest.raises(RequestError, match=r"circuit is open for 60\.0 s more") as caught:
                await scene.client.make_request("POST", scene.url, endpoint="x")
            assert not caught.value.was_sent
            assert len(scene.seen) == 5
            scene.hand.advance(60 * S)
            for _ in range(2):
                await scene.client.make_request("GET", scene.url, endpoint="x")
            assert scene.client.breaker.state is CircuitState.CLOSED

    run(main())


def test_a_signer_that_fails_gives_its_place_in_the_breaker_back():
    async def main():
        auth = Auth()
        async with Scene([500] * 5, auth=auth, policy=RetryPolicy(max_retries=0)) as scene:
            for _ in range(5):
                await scene.client.make_request("GET", scene.url, endpoint="x")
            scene.hand.advance(60 * S)

            def fail():
                raise ValueError("no key")

            auth.before_sign = fail
            for _ in range(7):
                with pytest.raises(ValueError, match="no key"):
                    await scene.client.make_request("GET", scene.url, endpoint="x")
            auth.before_sign = None
            assert (await scene.client.make_request("GET", scene.url, endpoint="x")).status == 200

    run(main())
