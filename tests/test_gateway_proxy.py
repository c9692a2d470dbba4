"""A whole gateway whose bus others read too."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.parts import free_port
from tests.proxied import by_libmodbus, by_pymodbus, by_pymodbustcp
from tests.whole import RunningGateway

CONFIG = """
key: {{uri: 'file:device-key.pem'}}
log: {{commit: {{seconds: 0.1, entries: 16}}, checkpoint: {{seconds: 0.5, entries: 16}}}}
buses: [{{name: bench, simulator: true, proxy: {port}, proxy_units: [1]}}]
meters:
  - {{name: main, model: janitza-umg96rm, bus: bench, unit: 1, every: 0.5}}
  - {{name: other, model: janitza-umg96rm, bus: bench, unit: 2, every: 0.5}}
"""


async def everybody(port: int) -> list[list[int]]:
    return [await read(port, 1, 19000, 2) for read in (by_pymodbus, by_pymodbustcp, by_libmodbus)]


def test_others_read_a_bus_while_the_gateway_polls_it(tmp_path: Path) -> None:
    """Three clients; status tells; a reload moves the proxy, and a stop ends it."""
    port, later = free_port(), free_port()
    with RunningGateway(tmp_path, CONFIG.format(port=port)) as gateway:
        gateway.wait_status(lambda told: bool(told["proxies"][0]["listening"]), "the proxy")
        for registers in asyncio.run(everybody(port)):
            assert registers[0] >> 8 == 0x43, "a voltage between 128 and 512"
        (told,) = gateway.status()["proxies"]
        assert told | {"clients": 0} == {
            "name": "bench", "listening": f"127.0.0.1:{port}", "clients": 0, "turned_away": 0, "cut_off": 0,
            "requests": 3, "answered": 3, "exceptions": {},
        }  # fmt: skip
        gateway.config.write_text(gateway.config.read_text().replace(f"proxy: {port}", f"proxy: {later}"))
        gateway.reload()
        gateway.wait_status(lambda told: told["proxies"][0]["listening"].endswith(f":{later}"), "the proxy's new port")
        for registers in asyncio.run(everybody(later)):
            assert registers[0] >> 8 == 0x43
        assert gateway.stop() == 0
