"""The registers of one meter as telegrams: which of the wanted ones it has, in which class, and their values.

A meter is known by its logical device name (0-0:42.0.0), which is read in every session: another name, or none, and
everything that was learned is forgotten, scalers first. An object is looked for as register, extended register, demand
register and data; what the meter has in none of them, or does not show this client, is told once and asked for no more.
"""

from __future__ import annotations

from collections.abc import Sequence

from drivers.dlms import cosem, points
from drivers.dlms.axdr import Datum
from drivers.dlms.client import Client
from drivers.dlms.objects import Objects, Wish
from drivers.dlms.push import PROTOCOL
from drivers.dlms.service import Failure, Wanted
from drivers.telegram import Telegram, TelegramPoint
from gateway.errors import MeterProtocolError

NAME, CLOCK = Wish(code="0-0:42.0.0", class_id=cosem.DATA), Wish(code="0-0:1.0.0", class_id=cosem.CLOCK)
_CLASSES = (cosem.REGISTER, cosem.EXTENDED_REGISTER, cosem.DEMAND_REGISTER, cosem.DATA)
#: What is read unless the config says otherwise: energy, power, voltages and currents, as meters push them.
DEFAULT_CODES = (
    *(f"1-0:{group}.8.0" for group in (1, 2, 3, 4)),
    *(f"1-0:{group}.8.{tariff}" for group in (1, 2) for tariff in (1, 2)),
    *(f"1-0:{group}.7.0" for group in (1, 2, 3, 4, 32, 52, 72, 31, 51, 71)),
)
#: Access denied, undefined, another class, unavailable, another type: it will not be there at the next poll either.
_ABSENT = {str(Failure(code=code)) for code in (3, 4, 9, 11, 12)}


class Registers:
    """What one meter has of *codes*."""

    def __init__(self, codes: Sequence[str]) -> None:
        self._codes = tuple(codes)
        self._client: Client | None = None
        self._name = ""
        self._objects: Objects | None = None
        self._wishes: tuple[Wish, ...] = ()
        self._remarks: tuple[str, ...] = ()

    async def get(self, wanted: Sequence[Wanted]) -> tuple[Datum | Failure, ...]:
        """See ``drivers.dlms.objects.Getter``: what is learned outlives the session."""
        assert self._client is not None, "only read() asks"
        return await self._client.get(wanted)

    async def read(self, client: Client) -> Telegram:
        """The values of now; opens the association. Raises what the client raises, MeterProtocolError for none."""
        self._client = client
        (found,) = await client.get([Wanted(attribute=NAME.attribute(2))])
        name = "" if isinstance(found, Failure) else points.shown(found)
        objects = self._objects
        if objects is None or not name or name != self._name:
            objects = Objects(self, list_max=client.agreed.list_max if client.agreed is not None else 1)
            self._wishes, self._remarks = await self._look(objects)
            self._objects, self._name = objects, name
        values = await objects.read([*self._wishes, CLOCK])
        return self._telegram(name, values)

    async def _look(self, objects: Objects) -> tuple[tuple[Wish, ...], tuple[str, ...]]:
        """What is there, and what is to be remarked."""
        found: dict[str, Wish] = {}
        for class_id in _CLASSES:
            wishes = [Wish(code=code, class_id=class_id) for code in self._codes if code not in found]
            values = await objects.read(wishes)
            found |= {one.code: one for one, value in zip(wishes, values, strict=True) if value.fault not in _ABSENT}
        missing = ", ".join(code for code in self._codes if code not in found)
        if not found:
            raise MeterProtocolError(
                f"the meter has none of {missing}, or does not show them to this client; name what it has under points,"
                " or correct client and authentication"
            )
        remark = f"the meter has no {missing}, or does not show it to this client; it is not asked for any more"
        return tuple(found[code] for code in self._codes if code in found), (remark,) if missing else ()

    def _telegram(self, name: str, values: Sequence[TelegramPoint]) -> Telegram:
        clock = values[-1]
        has_clock = clock.fault not in _ABSENT
        odd = (clock.fault,) if has_clock and clock.time_ms is None and clock.fault else ()
        kept = tuple(values) if has_clock else tuple(values[:-1])
        return Telegram(
            protocol=PROTOCOL,
            meter=name,
            time_ms=clock.time_ms,
            points=kept,
            raw=b"".join(point.raw for point in kept),
            remarks=(*self._remarks, *odd),
        )
