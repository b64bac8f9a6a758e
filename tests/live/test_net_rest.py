"""The REST client against a real aiohttp server on loopback, and against peers that break off."""

import asyncio
import socket

import pytest
from aiohttp import web

from tercel.errors import ConfigError
from tercel.net.rest import OPTIMISED, SHARED, PoolProfile, RequestError, RestClient, Trouble


def run(main):
    """The limit is no assertion: it turns a test that would hang into one that fails."""
    return asyncio.run(asyncio.wait_for(main, 60))


class Site:
    """An aiohttp server that answers with `handler` and counts connections."""

    def __init__(self, handler):
        self.handler = handler
        self.peers = set()

    async def __aenter__(self):
        async def counted(request):
            self.peers.add(request.transport.get_extra_info("peername"))
            return await self.handler(request)

        app = web.Application()
        app.router.add_route("*", "/{path:.*}", counted)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        site = web.TCPSite(self.runner, "127.0.0.1", 0)
        await site.start()
        port = site._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        return self

    async def __aexit__(self, *exc):
        await self.runner.cleanup()


async def tcp(script):
    """A bare TCP server that runs `script(reader, writer)` for each connection; gives server and port."""

    async def on_client(reader, writer):
        await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(on_client, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def test_profiles_are_those_of_the_requirements():
    assert (SHARED.n_idle_per_host, SHARED.idle_s, SHARED.timeout_s, SHARED.keep_alive_s) == (10, 30.0, 30.0, 60)
    assert (OPTIMISED.n_idle_per_host, OPTIMISED.idle_s, OPTIMISED.timeout_s) == (20, 30.0, 10.0)
    assert (OPTIMISED.connect_s, OPTIMISED.keep_alive_s) == (5.0, 60)
    with pytest.raises(ConfigError):
        PoolProfile(n_idle_per_host=0, timeout_s=1, connect_s=1)


def test_what_goes_out_and_what_comes_back():
    async def main():
        seen = {}

        async def handler(request):
            seen.update(method=request.method, raw=request.raw_path, body=await request.read(), headers=request.headers)
            answer = web.Response(status=418, body=b"\x00tea", headers={"X-MBX-USED-WEIGHT-1m": "7"})
            answer.headers.add("Set-Cookie", "a=1; Path=/")
            answer.headers.add("Set-Cookie", "b=2, c")
            return answer

        async with Site(handler) as site, RestClient() as client:
            query = "/api/v3/order?symbol=A%2FB&signature=%41b+c"
            answer = await client.request("DELETE", site.url + query, {"X-MBX-APIKEY": "k"}, b"body")
        assert seen["method"] == "DELETE"
        assert seen["raw"] == query
        assert seen["body"] == b"body"
        assert seen["headers"]["X-MBX-APIKEY"] == "k"
        assert seen["headers"]["User-Agent"] == "tercel/0.1"
        assert answer.status == 418
        assert answer.body == b"\x00tea"
        assert answer.headers["x-mbx-used-weight-1m"] == "7"
        assert answer.headers["set-cookie"] == "a=1; Path=/\nb=2, c"
        assert "tea" not in repr(answer)

    run(main())


def test_one_connection_serves_many_requests_without_delay_option():
    async def main():
        async def handler(request):
            return web.Response(text="ok")

        async with Site(handler) as site, RestClient() as client:
            for _ in range(20):
                await client.request("GET", site.url)
            assert len(site.peers) == 1
            [(connection, _)] = next(iter(client._session.connector._conns.values()))
            sock = connection.transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60

    run(main())


def test_no_more_connections_stay_idle_than_the_profile_says():
    async def main():
        gate = asyncio.Event()
        n_waiting = 0

        async def handler(request):
            nonlocal n_waiting
            n_waiting += 1
            if n_waiting == 12:
                gate.set()
            await gate.wait()  # all twelve are open at once
            return web.Response(text="ok")

        profile = PoolProfile(n_idle_per_host=3, timeout_s=10, connect_s=5)
        async with Site(handler) as site, RestClient(profile) as client:
            await asyncio.gather(*(client.request("GET", site.url) for _ in range(12)))
            assert len(site.peers) == 12
            assert sum(len(idle) for idle in client._session.connector._conns.values()) == 3
            assert not client._n_active

    run(main())


def test_a_redirect_is_an_answer():
    async def main():
        async def handler(request):
            raise web.HTTPFound("http://elsewhere.invalid/")

        async with Site(handler) as site, RestClient() as client:
            assert (await client.request("GET", site.url)).status == 302

    run(main())


def test_refused_connection_was_not_sent():
    async def main():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        async with RestClient() as client:
            with pytest.raises(RequestError, match=f"cannot connect to 127.0.0.1:{port}") as caught:
                await client.request("POST", f"http://127.0.0.1:{port}/?signature=SECRET")
        assert not caught.value.was_sent
        assert caught.value.trouble is Trouble.CONNECT
        assert "SECRET" not in str(caught.value)

    run(main())


def test_no_answer_in_time_was_sent():
    async def main():
        async def handler(request):
            await asyncio.Event().wait()

        async with Site(handler) as site, RestClient() as client:
            with pytest.raises(RequestError, match=r"did not answer within 0\.1 s") as caught:
                await client.request("POST", site.url + "/?s=SECRET", timeout_s=0.1)
        assert caught.value.was_sent
        assert caught.value.trouble is Trouble.TIMEOUT
        assert "SECRET" not in str(caught.value)

    run(main())


def test_waiting_for_a_free_connection_was_not_sent():
    async def main():
        asked = asyncio.Event()

        async def handler(request):
            asked.set()
            await asyncio.Event().wait()

        profile = PoolProfile(n_idle_per_host=1, n_open_max=1, timeout_s=10, connect_s=5)
        async with Site(handler) as site, RestClient(profile) as client:
            first = asyncio.ensure_future(client.request("GET", site.url, timeout_s=1.0))
            await asked.wait()
            with pytest.raises(RequestError) as caught:
                await client.request("POST", site.url, timeout_s=0.1)
            assert not caught.value.was_sent
            with pytest.raises(RequestError):
                await first

    run(main())


@pytest.mark.parametrize(
    ("answer", "trouble"),
    [
        (b"", Trouble.BROKEN),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Trouble.BAD_ANSWER),
        (b"HTTP/1.1 200 OK\r\nContent-Le", Trouble.BROKEN),
        (b"garbage\r\n\r\n", Trouble.BAD_ANSWER),
    ],
)
def test_a_peer_that_breaks_off_was_sent(answer, trouble):
    n_requests = 0

    async def main():
        async def script(reader, writer):
            nonlocal n_requests
            await reader.readuntil(b"\r\n\r\n")
            n_requests += 1
            writer.write(answer)

        server, port = await tcp(script)
        async with server, RestClient() as client:
            with pytest.raises(RequestError) as caught:
                await client.request("GET", f"http://127.0.0.1:{port}/")
        assert caught.value.was_sent
        assert caught.value.trouble is trouble
        assert n_requests == 1

    run(main())


@pytest.mark.parametrize("method", ["GET", "DELETE", "POST"])
def test_a_kept_connection_that_died_is_not_silently_asked_twice(method):
    n_requests = 0

    async def main():
        async def script(reader, writer):
            nonlocal n_requests
            await reader.readuntil(b"\r\n\r\n")
            n_requests += 1
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            await reader.readuntil(b"\r\n\r\n")
            n_requests += 1  # the second request arrives on the kept connection, and the peer hangs up

        server, port = await tcp(script)
        async with server, RestClient() as client:
            url = f"http://127.0.0.1:{port}/"
            assert (await client.request(method, url)).body == b"ok"
            with pytest.raises(RequestError) as caught:
                await client.request(method, url)
            assert caught.value.was_sent
            assert n_requests == 2

    run(main())


def test_a_body_above_the_maximum_is_refused():
    async def main():
        async def handler(request):
            return web.Response(body=b"x" * 5000)

        profile = PoolProfile(n_idle_per_host=1, timeout_s=10, connect_s=5, body_bytes=1000)
        async with Site(handler) as site, RestClient(profile) as client:
            with pytest.raises(RequestError) as caught:
                await client.request("GET", site.url)
        assert caught.value.trouble is Trouble.BAD_ANSWER

    run(main())


@pytest.mark.parametrize("url", ["ftp://x/", "http://", "http://u:p@x/", "http://x:99999/"])
def test_addresses_that_cannot_be_meant(url):
    async def main():
        async with RestClient() as client:
            with pytest.raises(ConfigError) as caught:
                await client.request("GET", url)
            assert "u:p" not in str(caught.value)

    run(main())
