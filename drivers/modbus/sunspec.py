"""Finding a SunSpec model in a device: the marker ``SunS``, then the chain of models.

Source: SunSpec Device Information Model Specification V1.1, section 4. At one of the base addresses two registers
hold ``SunS`` (0x53756e53). From the next register on, models follow: an id register, a length register, and as many
registers as the length says; id 0xFFFF ends the chain.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from drivers.modbus.definition import SunSpec
from gateway.errors import MeterProtocolError, MeterRefused

MARKER = b"SunS"
END = 0xFFFF
FUNCTION = 3
#: The longest chain that is followed; devices have about ten models.
MAX_MODELS = 64

#: Reads registers: (function, address, count) to register bytes; raises as a bus does.
ReadRegisters = Callable[[int, int, int], Awaitable[bytes]]


async def find_model(read: ReadRegisters, wanted: SunSpec) -> int:
    """The wire address of the ID register of *wanted*'s model.

    Raises MeterProtocolError when the device is no SunSpec device or has no such model, and whatever *read* raises
    but refusals.
    """
    marker = await _find_marker(read, wanted.bases)
    address = marker + 2
    seen: list[int] = []
    while len(seen) < MAX_MODELS and address <= 0xFFFE:
        header = await read(FUNCTION, address, 2)
        model, length = int.from_bytes(header[:2], "big"), int.from_bytes(header[2:], "big")
        if model == wanted.model and length >= wanted.length:
            return address
        if model == END:
            break
        seen.append(model)
        address += 2 + length
    raise MeterProtocolError(
        f"SunSpec model {wanted.model} is not in the device (models: {', '.join(map(str, seen)) or 'none'}); "
        "configure the definition of a model it has"
    )


async def _find_marker(read: ReadRegisters, bases: tuple[int, ...]) -> int:
    for base in bases:
        try:
            if await read(FUNCTION, base, 2) == MARKER:
                return base
        except MeterRefused:
            continue  # nothing at this address: the next base may have it
    raise MeterProtocolError(f"no SunSpec marker at {', '.join(map(str, bases))}: this is no SunSpec device")
