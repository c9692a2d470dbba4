"""The proxy before a real line: what clients that nobody here wrote get, and that the gateway's polls lose nothing."""

from __future__ import annotations

import asyncio
import random
from itertools import pairwise

import pytest

from drivers.modbus.bus import BusBusy
from tests.modbus_meters import definition, held, meter, point, raws, serial_bus, tcp_bus
from tests.paced_bus import PacedBus
from tests.paced_line import word
from tests.parts import free_port
from tests.proxied import Raw, by_libmodbus, by_pymodbus, by_pymodbustcp, proxied

SECONDS = 6
METERS = range(1, 11)


@pytest.mark.parametrize("read", [by_pymodbus, by_pymodbustcp, by_libmodbus])
async def test_clients_that_nobody_here_wrote_read_through_it(read: object) -> None:
    """The registers of the meter on the line, whoever asks."""
    with PacedBus(baud=115200, units={7: {}}) as line:
        bus = serial_bus(line.device)
        async with proxied(bus) as (proxy, port):
            assert await read(port, 7, 100, 20) == [word(7, 3, at) for at in range(100, 120)]  # type: ignore[operator]
            assert (proxy.status.requests, proxy.status.answered) == (1, 1)
        await bus.close()


async def test_each_refusal_has_its_code() -> None:
    """What cannot be asked, what the meter refuses, who is silent or not offered."""
    units = {1: {"holes": [[50, 60]], "max_registers": 100}, 2: {"dead": True}}
    with PacedBus(baud=115200, units=units) as line:
        bus = serial_bus(line.device, timeout_ms=100, late_ms=100)
        async with proxied(bus, units=frozenset({1, 2})) as (proxy, port), Raw(port) as client:
            wanted = []
            for unit, pdu, code in [
                (1, "0600010002", 1), (1, "1000000001020000", 1), (1, "01", 1), (1, "2b0e0100", 1), (1, "83", 1),
                (1, "0300000000", 3), (1, "030000007e", 3), (1, "03000000", 3), (1, "030000000100", 3), (1, "03", 3),
                (1, "03ffff0002", 2), (1, "0300320001", 2), (1, "0300000065", 3),
                (3, "0300000001", 10), (0, "0300000001", 10), (255, "0300000001", 10),
                (2, "0300000001", 11), (2, "0400000001", 11),
            ]:  # fmt: skip
                client.ask(len(wanted), unit, bytes.fromhex(pdu))
                fc = bytes.fromhex(pdu)[0] | 0x80
                wanted.append((len(wanted), unit, bytes([fc, code])))
                assert await client.answer() == wanted[-1]
            client.ask_registers(99, 1, 0)
            assert await client.answer() == (99, 1, bytes.fromhex("0302" + held(1, 0)[0]))
            assert sum(proxy.status.exceptions.values()) == len(wanted)
        assert line.stats()["requests"] == 4, "the silent unit was asked once"
        await bus.close()


async def test_a_silent_unit_is_asked_again_after_its_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """And answers then."""
    monkeypatch.setattr("drivers.modbus.proxy_desk.SILENT_S_MIN", 0.2)
    with PacedBus(baud=115200, units={1: {"dead": True}}) as line:
        bus = serial_bus(line.device, timeout_ms=50, late_ms=50)
        async with proxied(bus) as (_, port), Raw(port) as client:
            client.ask_registers(1, 1, 0)
            assert (await client.answer())[2] == b"\x83\x0b"
            line.change(1)
            while (found := await _one(client))[2] == b"\x83\x0b":
                pass
            assert found[2].hex() == "0302" + held(1, 0)[0]
        await bus.close()


async def _one(client: Raw) -> tuple[int, int, bytes]:
    client.ask_registers(1, 1, 0)
    return await client.answer()


async def test_a_port_that_is_away_is_no_path() -> None:
    """Exception 10: the fault lies between proxy and meter."""
    bus = tcp_bus(free_port())
    async with proxied(bus) as (_, port), Raw(port) as client:
        client.ask_registers(1, 1, 0)
        assert await client.answer() == (1, 1, b"\x83\x0a")


async def greedy(port: int, seed: int, tally: list[int]) -> None:
    """Has four long reads under way at all times, of any unit, and checks what comes."""
    chance = random.Random(seed)
    asked: dict[int, tuple[int, int, int]] = {}
    async with Raw(port) as client:
        for transaction in range(60_000):
            unit, address, count = chance.choice(METERS), chance.randrange(800), chance.choice([1, 60, 125])
            asked[transaction] = unit, address, count
            client.ask_registers(transaction, unit, address, count)
            if len(asked) == 4:
                number, unit, pdu = await client.answer()
                unit, address, count = asked.pop(number)
                right = b"".join(word(unit, 3, at).to_bytes(2, "big") for at in range(address, address + count))
                assert pdu in (b"\x83\x06", bytes([3, 2 * count]) + right)
                tally[pdu == b"\x83\x06"] += 1


async def test_no_poll_is_missed_while_clients_hammer() -> None:
    """Ten meters each second on a line of 9600 baud, which two greedy clients keep busy: every poll comes in time."""
    with PacedBus(baud=9600, units={unit: {"delay_ms": 5} for unit in METERS}) as line:
        bus = serial_bus(line.device, *(meter(unit, definition(point(7), point(8))) for unit in METERS), baud=9600)
        loop = asyncio.get_running_loop()
        took: list[float] = []
        tally = [0, 0]

        async def poll(index: int) -> None:
            begin = loop.time()
            for number in range(SECONDS):
                await asyncio.sleep(begin + number - loop.time())  # the schedule itself
                assert raws(await bus.meters[index].read()) == held(index + 1, 7, 8)
                took.append(loop.time() - begin - number)

        async with proxied(bus) as (_, port):
            clients = [asyncio.create_task(greedy(port, seed, tally)) for seed in (1, 2)]
            await asyncio.gather(*(poll(index) for index in range(len(METERS))))
            assert not any(client.done() for client in clients)
            for client in clients:
                client.cancel()
            await asyncio.gather(*clients, return_exceptions=True)
        await bus.close()
    took.sort()
    print(f"polls: median {took[len(took) // 2]:.3f} s, longest {took[-1]:.3f} s; clients got {tally}")
    assert len(took) == SECONDS * len(METERS)
    assert took[-1] < 1.0, "a poll was not over when the next was due"
    assert tally[0] > SECONDS, "and the clients got what was left"


async def test_a_late_reply_reaches_nobody_else() -> None:
    """One meter is often late; three clients and a poll ask it for registers of one shape, and none gets another's."""
    plan = {"late_permille": 200, "late_ms": 120, "delay_ms": 1}
    with PacedBus(baud=115200, units=dict.fromkeys((1, 2), plan), seed=5) as line:
        bus = serial_bus(line.device, meter(1, definition(point(900))), timeout_ms=60, late_ms=200)
        right = wrong = 0

        async def ask(client: Raw, unit: int, first: int) -> None:
            nonlocal right, wrong
            for transaction in range(40):
                address = first + transaction
                client.ask_registers(transaction, unit, address)
                number, _, pdu = await client.answer()
                assert number == transaction
                if pdu[0] == 3:
                    right, wrong = right + (pdu[2:].hex() == held(unit, address)[0]), wrong
                    wrong += pdu[2:].hex() != held(unit, address)[0]

        async with proxied(bus) as (_, port), Raw(port) as one, Raw(port) as two, Raw(port) as three:
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("drivers.modbus.proxy_desk.SILENT_S_MAX", 0.01)
                await asyncio.gather(ask(one, 1, 0), ask(two, 1, 200), ask(three, 2, 400))
        assert line.stats()["late"] > 5
        await bus.close()
    assert (wrong, right > 40) == (0, True)


async def test_a_client_that_leaves_costs_nobody_an_answer() -> None:
    """Its exchange is finished, and the next client's answer is its own."""
    with PacedBus(baud=115200, units={1: {"delay_ms": 50}}) as line:
        bus = serial_bus(line.device)
        async with proxied(bus) as (proxy, port), Raw(port) as patient:
            async with Raw(port) as hasty:
                for transaction in range(3):
                    hasty.ask_registers(transaction, 1, 10 + transaction)
                while line.stats()["requests"] == 0:
                    await asyncio.sleep(0)
            patient.ask_registers(5, 1, 20)
            assert await patient.answer() == (5, 1, bytes.fromhex("0302" + held(1, 20)[0]))
            assert proxy.status.clients == 1
        assert line.stats()["requests"] == 2, "what the one who left still waited for was not asked"
        await bus.close()


async def test_a_meter_that_needs_a_rest_gets_it_from_guests_too() -> None:
    """Before and after; and a guest that finds no time for its patience is told."""
    needs_rest = definition(point(7), turnaround_ms=150)
    with PacedBus(baud=115200, units={1: {}, 2: {"dead": True}}) as line:
        bus = serial_bus(line.device, meter(1, needs_rest), meter(2, needs_rest), timeout_ms=400)
        loop = asyncio.get_running_loop()
        times = []
        for _ in range(2):
            await bus.meters[0].read()
            times.append(loop.time())
            await bus.read_as_guest(1, 3, 7, 1, patience_s=5)
            times.append(loop.time())
        assert all(later - earlier >= 0.149 for earlier, later in pairwise(times))
        with pytest.raises(BusBusy, match="polls left no time"):
            await bus.read_as_guest(1, 3, 7, 1, patience_s=0.05)
        await bus.read_as_guest(1, 3, 7, 1, patience_s=5)
        await bus.close()
