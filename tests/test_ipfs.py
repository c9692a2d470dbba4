"""Uploads to a real IPFS node: the CID that it tells is checked, and nothing that goes wrong is more than a state."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.chain.anchors.bundle import Bundle
from gateway.chain.anchors.ipfs import CidDiffers, IpfsNode
from gateway.errors import SignerError, UnavailableError
from gateway.secrets import read_secret
from tests.ipfs_node import Gate, IpfsServer
from tests.mosquitto import make_certificates
from tests.witness_side import note_at

SECRET = "s3cret.t0ken-of_the~node"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[IpfsServer]:
    """One node for all tests here."""
    with IpfsServer(tmp_path_factory.mktemp("ipfs")) as server:
        yield server


async def canned(answer: bytes, *, wait: bool = False) -> tuple[asyncio.Server, str]:
    """A server that gives this answer to every request, and then closes; or does not, and says no more."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if wait:
            await reader.read()
        writer.close()

    started = await asyncio.start_server(serve, "127.0.0.1", 0)
    return started, f"http://127.0.0.1:{started.sockets[0].getsockname()[1]}"


async def test_a_real_node_has_the_very_bytes_under_our_cid(server: IpfsServer) -> None:
    """Pinned, once and again; and it gives them back to whoever has the CID."""
    async with Gate(server) as gate:
        for size in (1, 100, 299):
            bundle = Bundle.of(note_at(size))
            for _ in range(2):
                await IpfsNode(gate.url).add(bundle)
            assert server.ask(f"block/get?arg={bundle.cid}") == bundle.note
            assert server.pinned(bundle.cid)
    assert not any("authorization" in head.lower() for head in gate.heads)


async def test_a_node_that_calls_the_file_otherwise_is_not_believed(server: IpfsServer) -> None:
    """Wrapped leaves, another base, another hash: real answers, each with a CID that is not ours."""
    bundle = Bundle.of(note_at(101))
    for replaced, begins in (
        ((b"raw-leaves=true", b"raw-leaves=false"), "bafybei"),
        ((b"cid-base=base32", b"cid-base=base58btc"), "zb2rh"),
        ((b"hash=sha2-256", b"hash=sha2-512"), "bafkrgq"),
        ((b"wrap-with-directory=false", b"wrap-with-directory=true"), f"{bundle.cid}, bafybei"),
    ):
        async with Gate(server) as gate:
            gate.replace = replaced
            with pytest.raises(CidDiffers, match=rf"it calls the file {begins}.*, and {bundle.cid} is"):
                await IpfsNode(gate.url).add(bundle)


async def test_an_answer_that_was_cut_anywhere_is_none(server: IpfsServer) -> None:
    """At each third byte of the real answer."""
    bundle = Bundle.of(note_at(102))
    async with Gate(server) as gate:
        await IpfsNode(gate.url).add(bundle)
        for cut in range(0, gate.answers[0].rindex(b"}") + 1, 3):
            gate.cut = cut
            with pytest.raises(UnavailableError, match=r"no HTTP|broke|was it cut"):
                await IpfsNode(gate.url).add(bundle)


async def test_tls_is_checked_and_never_left_out(server: IpfsServer, tmp_path: Path) -> None:
    """The right authority gets the bundle there; another authority, another name, and plain HTTP do not."""
    files, bundle = make_certificates(tmp_path / "certificates"), Bundle.of(note_at(103))
    async with Gate(server, tls=(files.server, files.server_key)) as gate:
        for url, ca in (
            (gate.url, files.other_ca),
            (gate.url, None),
            (gate.url.replace("127.0.0.1", "localhost"), files.ca),
            (gate.url.replace("https", "http"), files.ca),
        ):
            with pytest.raises(UnavailableError, match=r"its certificate is not accepted|no HTTP|broke"):
                await IpfsNode(url, ca=ca, secret=SECRET.encode).add(bundle)
        assert gate.heads == []
        await IpfsNode(gate.url, ca=files.ca, secret=SECRET.encode).add(bundle)
    assert f"Authorization: Bearer {SECRET}\r\n" in gate.heads[0]
    assert server.pinned(bundle.cid)


async def test_the_token_is_read_for_each_request_and_sent_as_what_it_is(server: IpfsServer, tmp_path: Path) -> None:
    """A corrected file counts at once; a user and a password are told from a bearer token."""
    file, bundle = tmp_path / "token", Bundle.of(note_at(104))
    file.touch(mode=0o600)
    async with Gate(server) as gate:
        node = IpfsNode(f"{gate.url}/", secret=lambda: read_secret(f"file:{file}", tmp_path))
        for text, header in (
            (f"{SECRET}\n", f"Bearer {SECRET}"),
            ("Aladdin:open sesame", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
        ):
            file.write_text(text)
            await node.add(bundle)
            assert f"Authorization: {header}\r\n" in gate.heads[-1]
            assert gate.heads[-1].startswith("POST /api/v0/add?cid-version=1&raw-leaves=true&")
        for bad in ("two words", "line\nline: x", "ü", ":", ""):
            file.write_text(bad)
            with pytest.raises(SignerError) as caught:
                await node.add(bundle)
            assert not bad or bad == ":" or bad not in str(caught.value)
        assert len(gate.heads) == 2


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (500, '{"Message":"disk \\u001b[1mfull","Code":0,"Type":"error"}', r"answered disk .1mfull \(status 500\)"),
        (200, '{"Name":"f","Hash":"CID"}\n{"Message":"pin: no","Type":"error"}', "answered pin: no"),
        (403, "403 - Forbidden", r"answered an error \(status 403\); correct its token_file"),
        (401, '{"Message":"SECRET is not known"}', r"answered an error \(status 401\)"),
        (307, "", "status 307"),
        (200, "", "names no file"),
        (200, '["Hash"]\n{"Bytes":9}\n' + "[" * 9999, "names no file"),
        (200, '{"Hash":"SECRET"}', "calls the file otherwise"),
        (200, '{"Hash":null}', "calls the file None"),
        (200, "x" * 20_000, "larger than 16384"),
    ],
)
async def test_every_other_answer_is_told_in_a_line_without_the_token(status: int, body: str, words: str) -> None:
    """With the node's name; what the far side says back of our secret is not shown."""
    bundle = Bundle.of(note_at(105))
    body = body.replace("CID", bundle.cid).replace("SECRET", SECRET)
    started, url = await canned(f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
    with pytest.raises(UnavailableError, match=words) as caught:
        await IpfsNode(url, secret=SECRET.encode).add(bundle)
    assert str(caught.value).startswith("IPFS node 127.0.0.1: ")
    assert SECRET not in str(caught.value)
    assert str(caught.value).isprintable()
    started.close()


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"])
async def test_a_node_that_hangs_costs_no_more_than_the_deadline(answer: bytes) -> None:
    """Before its answer, and within it."""
    started, url = await canned(answer, wait=True)
    with pytest.raises(UnavailableError, match=r"did not answer within 0\.2 s"):
        await IpfsNode(url).add(Bundle.of(note_at(106)), 0.2)
    started.close()
