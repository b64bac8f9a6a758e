"""TLS with certificates made here: the right one is accepted, every other refused with one clear error."""

import asyncio
import datetime
import ipaddress
import ssl

import pytest
import uvloop
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tercel.errors import ConfigError, NetworkError
from tercel.net.connection import Handlers, SocketLimits
from tercel.net.rest import RequestError, RestClient
from tercel.net.tls import client_tls, server_tls
from tercel.net.websocket import connect, serve

# Certificates are checked against the machine's clock, so their span is around it and wide.
DAY = datetime.timedelta(days=1)


def make(folder, name, alternatives, issuer=None, *, days=(-1, 3650)):
    """Writes NAME.pem and NAME.key; signed by `issuer` (certificate, key), or by itself as an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer[0].subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + days[0] * DAY)
        .not_valid_after(now + days[1] * DAY)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
    )
    if alternatives:
        builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    certificate = builder.sign(issuer[1] if issuer else key, hashes.SHA256())
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate, key


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    authority = make(folder, "authority", [])
    make(folder, "stranger", [])
    loopback = [x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    make(folder, "good", loopback, authority)
    make(folder, "other-name", [x509.DNSName("elsewhere.example")], authority)
    make(folder, "expired", loopback, authority, days=(-10, -1))
    return folder


REFUSED = {
    ("other-name", "authority"): "IP address mismatch",
    ("good", "stranger"): "unable to get local issuer certificate",
    ("expired", "authority"): "certificate has expired",
    ("good", None): "unable to get local issuer certificate",
}


async def websocket_exchange(folder, certificate, ca):
    got = asyncio.get_running_loop().create_future()
    box = []
    echo = Handlers(lambda data, now_ns: box[0].send(bytes(data)), lambda connection, now_ns: box.append(connection))
    tls = server_tls(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    async with await serve("127.0.0.1", 0, lambda upgrade: echo, ssl=tls) as server:
        handlers = Handlers(lambda data, now_ns: got.set_result(bytes(data)))
        trusted = None if ca is None else client_tls(folder / f"{ca}.pem")
        connection = await connect(f"wss://127.0.0.1:{server.port}/", handlers, ssl=trusted)
        connection.send(b"over tls" * 10_000)
        return await got == b"over tls" * 10_000


async def rest_exchange(folder, certificate, ca):
    async def handler(request):
        return web.Response(text="over tls")

    app = web.Application()
    app.router.add_get("/", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    tls = server_tls(folder / f"{certificate}.pem", folder / f"{certificate}.key")
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    port = site._server.sockets[0].getsockname()[1]
    trusted = None if ca is None else client_tls(folder / f"{ca}.pem")
    try:
        async with RestClient(ssl=trusted) as client:
            return (await client.request("GET", f"https://127.0.0.1:{port}/")).body == b"over tls"
    finally:
        await runner.cleanup()


def quietly(main):
    async def inner():
        # The server side reports the handshake that the client broke off.
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        return await asyncio.wait_for(main, 60)

    return asyncio.run(inner())


@pytest.mark.parametrize("exchange", [websocket_exchange, rest_exchange])
def test_the_right_certificate_is_accepted(folder, exchange):
    assert quietly(exchange(folder, "good", "authority"))


@pytest.mark.parametrize(("pair", "cause"), REFUSED.items(), ids=["name", "authority", "expired", "system"])
def test_websocket_refuses(folder, pair, cause):
    with pytest.raises(NetworkError, match=f"the TLS certificate of 127.0.0.1:[0-9]+ is not accepted: .*{cause}"):
        quietly(websocket_exchange(folder, *pair))


@pytest.mark.parametrize(("pair", "cause"), REFUSED.items(), ids=["name", "authority", "expired", "system"])
def test_rest_refuses_before_anything_is_sent(folder, pair, cause):
    pattern = f"the TLS certificate of 127.0.0.1:[0-9]+ is not accepted: .*{cause}"
    with pytest.raises(RequestError, match=pattern) as caught:
        quietly(rest_exchange(folder, *pair))
    assert not caught.value.was_sent


def test_verification_cannot_be_turned_off(folder):
    lax = client_tls(folder / "authority.pem")
    lax.check_hostname = False
    blind = client_tls()
    blind.check_hostname = False
    blind.verify_mode = ssl.CERT_NONE
    for context in (lax, blind):
        with pytest.raises(ConfigError, match="must verify"):
            asyncio.run(connect("wss://127.0.0.1:1/", Handlers(lambda data, now_ns: None), ssl=context))
        with pytest.raises(ConfigError, match="must verify"):
            RestClient(ssl=context)


def test_files_that_are_no_certificates_are_named(tmp_path):
    (tmp_path / "a.pem").write_text("no certificate")
    for path in (tmp_path / "a.pem", tmp_path / "absent.pem"):
        with pytest.raises(ConfigError, match=path.name):
            client_tls(path)
        with pytest.raises(ConfigError, match=path.name):
            server_tls(path, path)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_a_peer_that_does_not_read_is_cut_off_over_tls_too(folder, new_loop):
    async def main():
        whys, far = [], []
        closed = asyncio.Event()

        def on_close(why, now_ns):
            whys.append(why)
            closed.set()

        def on_far_open(connection, now_ns):
            far.append(connection)
            connection._transport.underlying_transport.pause_reading()

        tls = server_tls(folder / "good.pem", folder / "good.key")
        limits = SocketLimits(write_high_bytes=64 << 10, write_max_bytes=512 << 10)
        accept = Handlers(lambda data, now_ns: None, on_far_open)
        async with await serve("127.0.0.1", 0, lambda upgrade: accept, ssl=tls) as server:
            near = await connect(
                f"wss://127.0.0.1:{server.port}/",
                Handlers(lambda data, now_ns: None, None, on_close),
                ssl=client_tls(folder / "authority.pem"),
                limits=limits,
            )
            for _ in range(10_000):
                if not near.send(b"x" * 16384):
                    break
                assert near.n_unsent_bytes <= limits.write_max_bytes + 16384 + 100
                await asyncio.sleep(0)
            await closed.wait()
            assert "reads too slowly" in whys[0]
            far[0].abort("over")

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.get_loop().set_exception_handler(lambda loop, context: None)
        runner.run(asyncio.wait_for(main(), 60))
