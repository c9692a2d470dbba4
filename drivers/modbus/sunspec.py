"""Finding SunSpec models in a device: the marker ``SunS``, then the chain of models.

Source: SunSpec Device Information Model Specification V1.1, section 4. At one of the base addresses two registers
hold ``SunS`` (0x53756e53). From the next register on, models follow: an id register, a length register, and as many
registers as the length says; id 0xFFFF ends the chain. A model may stand anywhere in the chain, and a device may have
one more than once.

Nothing here knows a model: what its registers mean is data, one definition (``drivers/meters/sunspec-*.yaml``) per
model id.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from drivers.modbus.definition import SunSpec
from gateway.errors import MeterProtocolError, MeterRefused

MARKER = b"SunS"
END = 0xFFFF
FUNCTION = 3
#: The common model; its last register, a pad, may be missing.
COMMON, COMMON_LENGTH_MIN = 1, 65
#: The longest chain that is followed; devices have about ten models.
MAX_MODELS = 64

#: Reads registers: (function, address, count) to register bytes; raises as a bus does.
ReadRegisters = Callable[[int, int, int], Awaitable[bytes]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One model of a device's chain."""

    id: int
    #: Wire address of the ID register; L is the next one.
    address: int
    #: Registers after ID and L.
    length: int


async def walk(read: ReadRegisters, bases: tuple[int, ...]) -> AsyncIterator[Model]:
    """The models of a device, in order. Raises MeterProtocolError when it has no marker, and whatever *read* raises."""
    address = await _find_marker(read, bases) + len(MARKER) // 2
    for _ in range(MAX_MODELS):
        if address > 0xFFFE:
            return
        header = await read(FUNCTION, address, 2)
        model = Model(id=int.from_bytes(header[:2], "big"), address=address, length=int.from_bytes(header[2:], "big"))
        if model.id == END:
            return
        yield model
        address += 2 + model.length


async def find_model(read: ReadRegisters, wanted: SunSpec) -> int:
    """The wire address of the ID register of *wanted*'s model: the first that is as long as the definition needs.

    Raises MeterProtocolError when the device is no SunSpec device or has no such model, and whatever *read* raises
    but refusals of a base.
    """
    seen: list[int] = []
    async for model in walk(read, wanted.bases):
        if model.id == wanted.model and model.length >= wanted.length:
            return model.address
        seen.append(model.id)
    raise MeterProtocolError(
        f"SunSpec model {wanted.model} is not in the device (models: {', '.join(map(str, seen)) or 'none'}); "
        "configure the definition of a model it has"
    )


def common(like: SunSpec) -> SunSpec:
    """The common model, which says what the device is, looked for where *like* is."""
    return SunSpec(model=COMMON, length=COMMON_LENGTH_MIN, bases=like.bases)


async def _find_marker(read: ReadRegisters, bases: tuple[int, ...]) -> int:
    for base in bases:
        try:
            if await read(FUNCTION, base, 2) == MARKER:
                return base
        except MeterRefused:
            continue  # nothing at this address: the next base may have it
    raise MeterProtocolError(f"no SunSpec marker at {', '.join(map(str, bases))}: this is no SunSpec device")
