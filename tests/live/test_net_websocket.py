"""WebSocket client and server over real loopback sockets, and against peers that misbehave on purpose."""

import asyncio
import base64
import gc
import hashlib
import pickle
import random
import re
import socket
import struct

import pytest
import uvloop

from tercel.errors import ConfigError, DataError, NetworkError
from tercel.net.connection import Handlers, SocketLimits
from tercel.net.heartbeat import Liveness
from tercel.net.websocket import Refusal, connect, serve

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
loop_factory = asyncio.new_event_loop


@pytest.fixture(autouse=True, params=sorted(LOOPS))
def _both_loops(request, monkeypatch):
    monkeypatch.setitem(globals(), "loop_factory", LOOPS[request.param])


def run(main):
    """The limit is no assertion: it turns a test that would hang into one that fails."""
    with asyncio.Runner(loop_factory=loop_factory) as runner:
        return runner.run(asyncio.wait_for(main, 60))


class Peer:
    """Records what a connection's callbacks are given; `echo` sends every message back."""

    def __init__(self, *, echo=False):
        self.messages, self.times, self.whys, self.read_overs = [], [], [], []
        self.connection, self.echo = None, echo
        self.closed = asyncio.Event()
        self.arrived = asyncio.Queue()

    @property
    def handlers(self):
        return Handlers(self.on_message, self.on_open, self.on_close)

    def on_open(self, connection, now_ns):
        assert not self.messages
        self.connection = connection

    def on_message(self, data, now_ns):
        assert not self.closed.is_set()
        self.messages.append(bytes(data))
        self.times.append(now_ns)
        self.read_overs.append(self.connection.is_read_over)
        self.arrived.put_nowait(bytes(data))
        if self.echo:
            self.connection.send(data)

    def on_close(self, why, now_ns):
        self.whys.append(why)
        self.closed.set()


def frame(payload, opcode=1, *, fin=True, rsv=0):
    head = bytes([(0x80 if fin else 0) | rsv | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    return head + bytes([126]) + struct.pack("!H", len(payload)) + payload


async def raw_server(script):
    """A server that does the handshake and then whatever `script(reader, writer)` does."""

    async def on_client(reader, writer):
        request = await reader.readuntil(b"\r\n\r\n")
        key = next(
            line.split(b": ")[1] for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key")
        )
        accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
        writer.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )
        await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(on_client, "127.0.0.1", 0)
    return server, server.sockets[0].getsockname()[1]


def against(script, check, **options):
    """Run `check(peer)` with a client connected to a scripted server; returns the peer once it is closed."""

    async def main():
        server, port = await raw_server(script)
        peer = Peer()
        async with server:
            await connect(f"ws://127.0.0.1:{port}/", peer.handlers, **options)
            if check is not None:
                await check(peer)
            await peer.closed.wait()
        return peer

    return run(main())


def test_echo_with_path_headers_and_close_reason():
    seen = []

    async def main():
        server_peer, client = Peer(echo=True), Peer()

        def accept(upgrade):
            seen.append(upgrade)
            return server_peer.handlers

        async with await serve("127.0.0.1", 0, accept) as server:
            url = f"ws://127.0.0.1:{server.port}/ws/btcusdt@depth?x=1"
            connection = await connect(url, client.handlers, headers={"X-MBX-APIKEY": "k"})
            for size in (0, 1, 125, 126, 65535, 65536, 300_000):
                assert connection.send(b"a" * size)
                assert await client.arrived.get() == b"a" * size
            sock = connection._transport.underlying_transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            connection.close("we are done")
            assert not connection.send(b"too late")
            await client.closed.wait()
            await server_peer.closed.wait()
        assert client.whys == ["we are done"]
        assert server_peer.whys == ["the client closed: 1000 we are done"]
        assert connection.n_messages == 7
        assert not connection.is_open

    run(main())
    assert seen[0].path == "/ws/btcusdt@depth?x=1"
    assert seen[0].headers["x-mbx-apikey"] == "k"
    assert seen[0].headers["cache-control"] == seen[0].headers["pragma"] == "no-cache"
    assert seen[0].headers["sec-websocket-version"] == "13"


def test_frames_split_at_every_offset_arrive_whole():
    stream = (
        frame(b"one")
        + frame(b"", 9)
        + frame(b"tw", 1, fin=False)
        + frame(b"p", 9)
        + frame(b"o", 0)
        + frame(b"x" * 130, 2)
    )

    async def main():
        for cut in range(1, len(stream)):

            async def script(reader, writer, cut=cut):
                writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                writer.write(stream[:cut])
                await writer.drain()
                await asyncio.sleep(0)
                writer.write(stream[cut:] + frame(struct.pack("!H", 1000) + b"end", 8))
                await reader.read(1000)

            server, port = await raw_server(script)
            peer = Peer()
            async with server:
                await connect(f"ws://127.0.0.1:{port}/", peer.handlers)
                await peer.closed.wait()
            assert peer.messages == [b"one", b"two", b"x" * 130], cut
            assert peer.whys == [f"127.0.0.1:{port} closed: 1000 end"]

    run(main())


def test_one_receipt_time_for_each_socket_read_and_its_last_message_known_as_such():
    ticks = iter(range(1, 1000))

    async def script(reader, writer):
        await reader.read(100)
        writer.write(frame(b"a") + frame(b"b") + frame(b"", 9))  # the read ends with a ping
        await reader.read(100)  # its pong
        writer.write(frame(b"c") + frame(b"d"))
        await reader.read(100)

    async def check(peer):
        peer.connection.send(b"go")
        for _ in range(4):
            await peer.arrived.get()
        peer.connection.abort("enough")

    peer = against(script, check, now=lambda: next(ticks))
    assert peer.messages == [b"a", b"b", b"c", b"d"]
    first, second, third, fourth = peer.times
    assert first == second
    assert third == fourth
    assert third > first
    assert peer.read_overs == [False, False, False, True]


def test_server_closing_midway_in_a_message():
    async def script(reader, writer):
        writer.write(frame(b"whole") + frame(b"half of it")[:5])

    peer = against(script, None)
    assert peer.messages == [b"whole"]
    assert peer.whys[0].endswith("dropped the connection")


def test_the_peer_s_reason_cannot_write_lines_of_its_own():
    async def script(reader, writer):
        writer.write(frame(struct.pack("!H", 4001) + b"bad\n2026 INFO all well\x1b[2J", 8))
        await reader.read()

    assert against(script, None).whys[0].endswith("closed: 4001 bad?2026 INFO all well?[2J")


def test_server_that_drops_with_a_reset():
    async def script(reader, writer):
        await reader.read(10)
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    async def check(peer):
        peer.connection.send(b"x")

    assert against(script, check).whys[0].endswith("dropped the connection")


@pytest.mark.parametrize(
    "garbage",
    [
        frame(b"x", 1, rsv=0x40),
        frame(b"x", 0),
        frame(b"x", 1, fin=False) + frame(b"y", 1),
        frame(b"x", 3),
        frame(b"x" * 126, 9),
        b"\x81\x80\0\0\0\0",
        frame(struct.pack("!H", 1004), 8),
    ],
    ids=["reserved", "stray-continuation", "interleaved", "opcode", "long-ping", "masked", "close-code"],
)
def test_broken_frames_close_with_a_reason(garbage):
    answer = bytearray()

    async def script(reader, writer):
        writer.write(frame(b"fine"))
        await writer.drain()
        await reader.readexactly(6)  # our own answer to the first message: it was delivered on its own
        writer.write(garbage)
        answer.extend(await reader.readexactly(8))

    async def check(peer):
        assert await peer.arrived.get() == b"fine"
        peer.connection.send(b"")

    peer = against(script, check, limits=SocketLimits(close_s=0.05))
    assert peer.messages == [b"fine"]
    assert "broke the protocol" in peer.whys[0]
    close = bytes(answer[answer.index(b"\x88") :])
    code = bytes(a ^ b for a, b in zip(close[6:8], close[2:4]))
    assert struct.unpack("!H", code)[0] == 1002


@pytest.mark.parametrize("n_parts", [1, 4])
def test_a_message_above_the_maximum_closes(n_parts):
    async def script(reader, writer):
        part = b"x" * (1200 // n_parts)
        for i in range(n_parts):
            writer.write(frame(part, 1 if i == 0 else 0, fin=i == n_parts - 1))
        await reader.read(1000)

    peer = against(script, None, limits=SocketLimits(message_bytes=1000, close_s=0.05))
    assert peer.messages == []
    assert "1000" in peer.whys[0]


def test_half_open_socket_is_found_by_the_unanswered_ping():
    async def script(reader, writer):
        while await reader.read(100):  # answers every ping with data, never with a pong
            writer.write(frame(b"tick"))

    peer = against(script, None, liveness=Liveness(ping_every_s=0.05, pong_within_s=0.1))
    assert "did not answer a ping within 0.1 s" in peer.whys[0]
    assert peer.messages


def test_a_silent_feed_is_found_although_it_answers_pings():
    async def main():
        server_peer, client = Peer(), Peer()
        async with await serve("127.0.0.1", 0, lambda upgrade: server_peer.handlers) as server:
            liveness = Liveness(ping_every_s=0.02, pong_within_s=5, silent_after_s=0.2)
            connection = await connect(f"ws://127.0.0.1:{server.port}/", client.handlers, liveness=liveness)
            await client.closed.wait()
            assert connection.rtt_ns > 0
        assert client.whys == [f"127.0.0.1:{server.port} sent no message for 0.2 s"]

    run(main())


def test_several_messages_in_one_write_arrive_as_they_are_between_others():
    sizes = [0, 1, 125, 126, 127, 65535, 65536, 70_000, 3]
    messages = [bytes([65 + i]) * n for i, n in enumerate(sizes)]

    async def main():
        server_peer, client = Peer(), Peer()
        async with await serve("127.0.0.1", 0, lambda upgrade: server_peer.handlers) as server:
            connection = await connect(f"ws://127.0.0.1:{server.port}/", client.handlers)
            for sender in (server_peer.connection, connection):
                assert sender.send(b"first")
                assert sender.send_all(messages)
                assert sender.send(b"between")
                assert sender.send_all([b"one"])
                assert sender.send_all(messages)
                assert sender.send(b"last")
            for peer in (server_peer, client):
                while await peer.arrived.get() != b"last":
                    pass
                assert peer.messages == [b"first", *messages, b"between", b"one", *messages, b"last"]
            server_peer.connection.close("over")
            assert not server_peer.connection.send_all(messages)

    run(main())


@pytest.mark.parametrize("n_together", [1, 3])
def test_a_slow_reader_is_cut_off_and_the_others_go_on(n_together):
    async def main():
        slow_peer, quick_peer = Peer(), Peer()
        peers = iter([slow_peer, quick_peer])
        quick_client = Peer()
        limits = SocketLimits(write_high_bytes=64 << 10, write_max_bytes=512 << 10)
        async with await serve("127.0.0.1", 0, lambda upgrade: next(peers).handlers, limits=limits) as server:
            url = f"ws://127.0.0.1:{server.port}/"
            slow = await connect(url, Peer().handlers)
            slow._transport.underlying_transport.pause_reading()
            await connect(url, quick_client.handlers)
            chunk = b"x" * 65536
            n_sent = 0
            while slow_peer.connection.send_all([chunk] * n_together):
                assert slow_peer.connection.n_unsent_bytes <= limits.write_max_bytes
                n_sent += 1
                assert n_sent < 10_000
                await asyncio.sleep(0)
            await slow_peer.closed.wait()
            assert quick_peer.connection.send(b"still here")
            assert await quick_client.arrived.get() == b"still here"
            assert server.connections == {quick_peer.connection}
            slow.abort("over")
        assert "reads too slowly" in slow_peer.whys[0]
        assert "maximum 524288" in slow_peer.whys[0]

    run(main())


def test_congestion_that_passes_is_no_reason_to_close():
    async def main():
        server_peer, client = Peer(), Peer()
        limits = SocketLimits(write_high_bytes=64 << 10, write_max_bytes=64 << 20)
        async with await serve("127.0.0.1", 0, lambda upgrade: server_peer.handlers, limits=limits) as server:
            connection = await connect(f"ws://127.0.0.1:{server.port}/", client.handlers)
            connection._transport.underlying_transport.pause_reading()
            n_sent = 0
            while not server_peer.connection.is_congested:
                assert server_peer.connection.send(bytes([n_sent % 251]) * 65536)
                n_sent += 1
            assert server_peer.connection.send(b"last")
            connection._transport.underlying_transport.resume_reading()
            while await client.arrived.get() != b"last":
                pass
            assert not server_peer.connection.is_congested
        assert [m[0] for m in client.messages[:-1]] == [i % 251 for i in range(n_sent)]

    run(main())


def test_twenty_five_connections_at_once():
    n_clients, n_messages = 25, 40

    async def main():
        clients = [Peer() for _ in range(n_clients)]
        async with await serve("127.0.0.1", 0, lambda upgrade: Peer(echo=True).handlers) as server:
            url = f"ws://127.0.0.1:{server.port}/"
            connections = await asyncio.gather(*(connect(url, c.handlers) for c in clients))
            assert len(server.connections) == n_clients
            for i in range(n_messages):
                for n, connection in enumerate(connections):
                    assert connection.send(b"%d:%d" % (n, i))
            for n, client in enumerate(clients):
                assert [await client.arrived.get() for _ in range(n_messages)] == [
                    b"%d:%d" % (n, i) for i in range(n_messages)
                ]
        for client in clients:
            await client.closed.wait()
            assert client.whys[0].endswith("closed: 1001 server stops")

    run(main())


def test_what_a_handler_raises_closes_and_is_not_lost():
    async def main():
        reported = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: reported.append(context["exception"]))
        server_peer, client = Peer(), Peer()

        def bad(data, now_ns):
            raise DataError("not a price")

        handlers = Handlers(bad, None, client.on_close)
        async with await serve("127.0.0.1", 0, lambda upgrade: server_peer.handlers) as server:
            connection = await connect(f"ws://127.0.0.1:{server.port}/", handlers)
            server_peer.connection.send(b"1")
            server_peer.connection.send(b"2")
            with pytest.raises(DataError, match="not a price"):
                await connection.wait_closed()
            await server_peer.closed.wait()
        assert client.whys == ["on_message raised DataError"]
        assert server_peer.whys == ["the client closed: 1011 on_message raised DataError"]
        assert [str(e) for e in reported] == ["not a price"]

    run(main())


def test_a_view_kept_past_the_callback_is_refused():
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        kept, server_peer = [], Peer()
        async with await serve("127.0.0.1", 0, lambda upgrade: server_peer.handlers) as server:
            plain = await connect(f"ws://127.0.0.1:{server.port}/", Handlers(lambda data, now_ns: kept.append(data)))
            server_peer.connection.send(b"12345")
            while not kept:
                await asyncio.sleep(0)
            with pytest.raises(ValueError, match="released"):
                bytes(kept[0])
            plain.abort("next")
            handlers = Handlers(lambda data, now_ns: kept.append(pickle.PickleBuffer(data)))
            connection = await connect(f"ws://127.0.0.1:{server.port}/", handlers)
            server_peer.connection.send(b"12345")
            with pytest.raises(DataError, match="kept the view"):
                await connection.wait_closed()

    run(main())


def test_refusals_of_the_server():
    async def main():
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

        def accept(upgrade):
            if upgrade.path == "/limited":
                return Refusal(429, b"slow down", {"Retry-After": "3"})
            if upgrade.path == "/raises":
                raise ValueError("secret detail")
            return Peer().handlers

        async with await serve("127.0.0.1", 0, accept, n_connections_max=1) as server:
            url = f"ws://127.0.0.1:{server.port}"
            with pytest.raises(NetworkError, match="refused the WebSocket with status 429"):
                await connect(url + "/limited", Peer().handlers)
            with pytest.raises(NetworkError, match="status 500"):
                await connect(url + "/raises", Peer().handlers)
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(b"GET /raises HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = await reader.read()
            assert b"500" in answer
            assert b"secret" not in answer
            writer.close()
            await connect(url + "/first", Peer().handlers)
            with pytest.raises(NetworkError, match="status 503"):
                await connect(url + "/second", Peer().handlers)

    run(main())


def test_connect_refused_and_no_answer():
    async def main():
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        with pytest.raises(NetworkError, match=f"cannot connect to 127.0.0.1:{port}"):
            await connect(f"ws://127.0.0.1:{port}/?listenKey=SECRET", Peer().handlers)

        async def mute(reader, writer):
            await reader.read()
            writer.close()

        server = await asyncio.start_server(mute, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            with pytest.raises(NetworkError, match=f"127.0.0.1:{port} did not answer within 0.1 s") as caught:
                await connect(f"ws://127.0.0.1:{port}/?listenKey=SECRET", Peer().handlers, connect_timeout_s=0.1)
            assert "SECRET" not in str(caught.value)

    run(main())


def test_a_server_that_hangs_up_in_the_handshake():
    async def main():
        async def hang_up(reader, writer):
            await reader.readuntil(b"\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            with pytest.raises(NetworkError, match="hung up"):
                await connect(f"ws://127.0.0.1:{port}/", Peer().handlers)

    run(main())


def test_a_connect_given_up_leaves_no_connection_behind():
    async def main():
        asked, gate, hung_up = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def late(reader, writer):
            request = await reader.readuntil(b"\r\n\r\n")
            asked.set()
            await gate.wait()
            key = request.split(b"Sec-WebSocket-Key: ")[1].split(b"\r\n")[0]
            accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
            writer.write(
                b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
            )
            assert await reader.read() == b""
            hung_up.set()
            writer.close()

        server = await asyncio.start_server(late, "127.0.0.1", 0)
        peer = Peer()
        async with server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
            task = asyncio.create_task(connect(url, peer.handlers))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            gate.set()
            await hung_up.wait()
        assert peer.connection is None

    run(main())


@pytest.mark.parametrize("url", ["http://x/", "ws://", "ws://u:p@x/", "ws://x:99999/", "wss:/x"])
def test_addresses_that_cannot_be_meant(url):
    with pytest.raises(ConfigError) as caught:
        run(connect(url, Handlers(lambda data, now_ns: None)))
    assert "u:p" not in str(caught.value)


def test_a_port_in_use_is_named():
    async def main():
        async with await serve("127.0.0.1", 0, lambda upgrade: Refusal(404)) as server:
            with pytest.raises(NetworkError, match=f"cannot listen on 127.0.0.1:{server.port}"):
                await serve("127.0.0.1", server.port, lambda upgrade: Refusal(404))

    run(main())


def test_close_does_not_wait_for_a_dead_peer():
    async def script(reader, writer):
        await reader.read()  # never answers the close frame

    async def check(peer):
        peer.connection.close("stop")

    assert against(script, check, limits=SocketLimits(close_s=0.05)).whys == ["stop"]


def test_mutated_streams_end_in_messages_and_one_reason():
    """Any bytes after the handshake: whole messages, then one reason; nothing reaches the loop's exception handler."""
    rng = random.Random(20)
    good = [frame(b"one"), frame(b"tw", 1, fin=False), frame(b"o", 0), frame(b"", 9), frame(b"x" * 300, 2)]
    good.append(frame(struct.pack("!H", 1001) + b"bye", 8))

    def mutated():
        data = bytearray(b"".join(rng.choice(good) for _ in range(rng.randrange(1, 7))))
        for _ in range(rng.randrange(5)):
            at = rng.randrange(len(data))
            kind = rng.randrange(3)
            if kind == 0:
                data[at] = rng.randrange(256)
            elif kind == 1:
                data[at:at] = rng.randbytes(rng.randrange(4))
            elif len(data) > 1:
                del data[at]
        return bytes(data)

    async def main():
        errors, outcomes = [], set()
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: errors.append(context))

        async def script(reader, writer):
            writer.write(mutated())
            writer.write_eof()
            await reader.read()

        server, port = await raw_server(script)
        async with server:
            for _ in range(300):
                peer = Peer()
                await connect(f"ws://127.0.0.1:{port}/", peer.handlers, limits=SocketLimits(close_s=0.02))
                await peer.closed.wait()
                assert len(peer.whys) == 1
                assert all(type(message) is bytes for message in peer.messages)
                outcomes.add(re.sub(r"127.0.0.1:\d+", "", peer.whys[0]).split(":")[0].strip())
        gc.collect()
        assert errors == []
        assert {"dropped the connection", "closed", "broke the protocol"} <= outcomes

    run(main())
