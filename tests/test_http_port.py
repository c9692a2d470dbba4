"""One request within one deadline, to who it is meant for and nobody else; each fault is told with what to do."""

from __future__ import annotations

import base64
import ssl
from collections.abc import Callable, Iterator

import pytest

from drivers.http.exchange import Request
from drivers.http.port import Auth, HttpPort, HttpSettings, parse_url
from drivers.http.status import HttpStatusError
from drivers.http.tls import TlsSettings
from gateway.errors import ConfigError, MeterUnavailable, SignerError
from tests.http_device import Device, certificates, secret, status

Make = Callable[..., Device]


@pytest.fixture
def make() -> Iterator[Make]:
    devices: list[Device] = []

    def made(tls: ssl.SSLContext | None = None, **more: object) -> Device:
        devices.append(Device(tls, **more))  # type: ignore[arg-type]
        return devices[-1]

    yield made
    for device in devices:
        device.close()


async def test_a_document_comes_over_tls_with_the_password_in_a_header_only(make: Make) -> None:
    device = make(certificates().server(), bodies={"/base/rest": b"<a/>"})
    port = device.http_port(prefix="/base/", auth=Auth(user="ada", password="file:password"))
    assert await port.get("/rest?x=1") == b"<a/>"
    [asked] = device.asked
    assert asked.line == "GET /base/rest?x=1 HTTP/1.1"
    expected = base64.b64encode("ada:geheim ü".encode()).decode()
    assert asked.headers["authorization"] == f"Basic {expected}"
    assert asked.headers["connection"] == "close"
    assert asked.headers["host"] == f"127.0.0.1:{device.port}"
    assert "geheim" not in repr(port.__dict__)


@pytest.mark.parametrize(
    ("auth", "name", "value"),
    [
        (Auth(bearer="file:token"), "authorization", "Bearer abc.def"),
        (Auth(api_key="file:token"), "x-api-key", "abc.def"),
    ],
)
async def test_other_ways_to_say_who_asks(make: Make, auth: Auth, name: str, value: str) -> None:
    device = make(bodies={"/": b"1"})
    assert await device.http_port(auth=auth).get("/") == b"1"
    assert device.asked[0].headers[name] == value


async def test_a_form_is_posted_where_a_login_wants_it(make: Make) -> None:
    device = make(bodies={"/login/": b"{}"})
    await device.http_port().ask(Request(path="/login/", body=b"a=1&b=2"))
    [asked] = device.asked
    assert (asked.line, asked.body) == ("POST /login/ HTTP/1.1", b"a=1&b=2")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert "a=1" not in repr(Request(path="/", body=b"a=1", authorization="Bearer a=1"))


@pytest.mark.parametrize(
    ("code", "headers", "told", "retry_s"),
    [
        (401, (), r"/rest: status 401: it wants another user, password or token", 0),
        (403, (), "status 403: the user or token may not read this", 0),
        (404, (), "status 404: there is nothing at that path; check protocol", 0),
        (429, ("Retry-After: 30",), "status 429: it is asked too often; raise every; it asks to wait 30 s", 30),
        (429, ("Retry-After: Fri, 31 Dec 1999 23:59:59 GMT",), "status 429", 0),
        (429, ("Retry-After: 999999",), "wait 3600 s", 3600),
        (500, ("Retry-After: 30",), "status 500: the device failed; see its own log", 0),
        (503, (), "status 503: it is busy", 0),
        (599, (), "status 599: the device failed", 0),
        (204, (), "status 204: check protocol", 0),
        (418, (), "status 418: check protocol", 0),
    ],
)
async def test_each_status_has_its_remedy(
    make: Make, code: int, headers: tuple[str, ...], told: str, retry_s: int
) -> None:
    """The query, which may say more than it should, is not shown."""
    device = make(answer=lambda _asked, _sock: status(code, *headers))
    with pytest.raises(HttpStatusError, match=told) as caught:
        await device.http_port().get("/rest?private=1")
    assert (caught.value.status, caught.value.retry_s) == (code, retry_s)
    assert "private" not in str(caught.value)


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://ada:x@192.0.2.1:8443/new?token=x", r" to https://192.0.2.1:8443/new\)"),
        ("/new", r"\(302 to /new\)"),
        ("http://[", r"\(302\)"),
        ("/ü\x07", r"\(302\)"),
    ],
)
async def test_a_redirect_is_told_and_not_followed(make: Make, location: str, shown: str) -> None:
    elsewhere = make(bodies={"/new": b"1"})
    device = make(answer=lambda _asked, _sock: status(302, f"Location: {location}"))
    with pytest.raises(HttpStatusError, match=f"is elsewhere .*{shown}, and redirects are not followed"):
        await device.http_port(auth=Auth(user="ada", password="file:password")).get("/rest")
    assert (len(device.asked), elsewhere.asked) == (1, [])


async def test_who_has_another_certificate_gets_nothing(make: Make) -> None:
    """Another name, another authority, out of date: no request, so no password, is sent."""
    for name, told in (
        ("wrong-name", "IP address mismatch.*check ca and the host name"),
        ("expired", "expired.*clock"),
    ):
        device = make(certificates().server(name), bodies={"/": b"1"})
        with pytest.raises(MeterUnavailable, match=f"its certificate is not accepted: .*{told}"):
            await device.http_port(auth=Auth(user="ada", password="file:password")).get("/")
        assert device.asked == []
    device = make(certificates().server(), bodies={"/": b"1"})
    with pytest.raises(MeterUnavailable, match="its certificate is not accepted: unable to get local issuer"):
        await device.http_port_with(TlsSettings()).get("/")
    assert device.asked == []


async def test_a_pin_stands_in_for_chain_name_and_dates(make: Make) -> None:
    pins = certificates().pins
    for name in ("good", "wrong-name", "expired"):
        device = make(certificates().server(name), bodies={"/": b"1"})
        assert await device.http_port_with(TlsSettings(pin=pins[name])).get("/") == b"1"
        with pytest.raises(MeterUnavailable, match=rf"has the SHA-256 {pins[name]}, not the pinned one"):
            await device.http_port_with(TlsSettings(pin="0" * 64)).get("/")
        assert len(device.asked) == 1


async def test_a_pin_with_an_authority_asks_for_both(make: Make) -> None:
    both = {name: TlsSettings(ca=certificates().ca, pin=pin) for name, pin in certificates().pins.items()}
    good, wrong = make(certificates().server(), bodies={"/": b"1"}), make(certificates().server("wrong-name"))
    assert await good.http_port_with(both["good"]).get("/") == b"1"
    with pytest.raises(MeterUnavailable, match="not the pinned one"):
        await good.http_port_with(both["wrong-name"]).get("/")
    with pytest.raises(MeterUnavailable, match="IP address mismatch"):
        await wrong.http_port_with(both["wrong-name"]).get("/")


async def test_a_ca_file_that_is_none_is_named(make: Make, tmp_path: object) -> None:
    device = make(certificates().server())
    empty = certificates().folder / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(MeterUnavailable, match=r"empty.pem: not usable PEM"):
        await device.http_port_with(TlsSettings(ca=empty)).get("/")
    with pytest.raises(MeterUnavailable, match=r"none.pem: No such file"):
        await device.http_port_with(TlsSettings(ca=certificates().folder / "none.pem")).get("/")


async def test_a_secret_that_is_away_or_none_is_named_and_not_shown(make: Make) -> None:
    device = make(bodies={"/": b"1"})

    def away(name: str) -> bytes:
        raise SignerError(f"secret {name}: No such file")

    url = f"http://127.0.0.1:{device.port}"
    with pytest.raises(MeterUnavailable, match="secret file:x: No such file"):
        await HttpPort(HttpSettings(url=url, auth=Auth(bearer="file:x")), away).get("/")
    with pytest.raises(MeterUnavailable, match="the secret file:bad has characters that no header may have") as caught:
        await device.http_port(auth=Auth(bearer="file:bad")).get("/")
    assert "a\nb" not in str(caught.value)
    assert device.asked == []


async def test_a_path_cannot_smuggle_a_second_request(make: Make) -> None:
    device = make(bodies={"/": b"1"})
    for path in ("/a b", "/a\r\nHost: x", "/ü", "a"):
        with pytest.raises(MeterUnavailable, match="cannot be asked for; correct id"):
            await device.http_port().get(path)
    assert device.asked == []


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        (HttpSettings(url="ftp://192.0.2.9"), "is none; write https://"),
        (HttpSettings(url="https://"), "is none"),
        (HttpSettings(url="https://[::1"), "is none"),
        (HttpSettings(url="https://h:99999"), "is none"),
        (HttpSettings(url="https://h/?a=1"), "is none"),
        (HttpSettings(url="https://h/a b"), "cannot be asked for"),
        (HttpSettings(url="https://ada:x@h"), "a password in the URL could be read"),
        (HttpSettings(url="http://h", tls=TlsSettings(pin="0" * 64)), "ca and pin mean nothing"),
        (HttpSettings(url="https://h", tls=TlsSettings(pin="AB")), "pin must be the SHA-256"),
        (HttpSettings(url="https://h", auth=Auth(bearer="a", api_key="b")), "more than one of"),
        (HttpSettings(url="https://h", auth=Auth(user="a")), "belong together"),
        (HttpSettings(url="https://h", auth=Auth(user="a:b", password="c")), "has no colon"),
    ],
)
def test_settings_that_no_request_could_have_are_refused(settings: HttpSettings, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as caught:
        HttpPort(settings, secret)
    assert "ada:x" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "label", "prefix"),
    [
        ("https://192.0.2.9", "192.0.2.9", ""),
        ("https://192.0.2.9:8443/v2/", "192.0.2.9:8443", "/v2"),
        ("http://[2001:db8::1]:80/", "[2001:db8::1]", ""),
        ("HTTPS://Meter.Example:443", "meter.example", ""),
    ],
)
def test_a_server_has_a_short_name(url: str, label: str, prefix: str) -> None:
    target, found = parse_url(url, TlsSettings())
    assert (target.label, found) == (label, prefix)
