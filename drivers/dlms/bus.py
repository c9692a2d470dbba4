"""DLMS/COSEM meters that are asked: one port, and for each poll of a meter one association of its own.

Nothing stays open between polls. So a meter that lost its power, an adapter that was replugged, or a session that went
wrong needs no care: the next poll begins anew, and in between the port is the next meter's. A secret is fetched for
each poll: a corrected file counts at once.

With keys, each association takes invocation counters that nobody used before (``drivers.dlms.numbers``): out of a
durable reservation, and above the one that the meter tells the public client, which is asked at the first poll and
after each poll that the meter did not like.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drivers.dlms import acse, hdlc
from drivers.dlms.ciphering import Keys, parse_keys
from drivers.dlms.client import Client, Timing
from drivers.dlms.link import DataLink, HdlcLink, WrapperLink
from drivers.dlms.numbers import PUBLIC_CLIENT, Numbers, NumberStore, lowest
from drivers.dlms.registers import DEFAULT_CODES, Registers
from drivers.dlms.session import Security
from drivers.telegram import Telegram
from drivers.transport import Link
from gateway.errors import ConfigError, MeterProtocolError, MeterUnavailable, SignerError

HDLC, WRAPPER = "hdlc", "wrapper"
#: A meter without an id: its management logical device.
DEFAULT_ID = "1"
MECHANISMS = {"none": acse.NONE, "low": acse.LOW, "high-gmac": acse.HLS_GMAC}
_ID = re.compile(r"([0-9]{1,5})(?:/([0-9]{1,5}))?")
_CHALLENGE_SIZE = 16


#: Fetches a secret by its name, such as ``credential:meter-key``. Raises SignerError or ConfigError.
Secret = Callable[[str], bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class DlmsSettings:
    """How one meter is asked."""

    #: ``LOGICAL`` or ``LOGICAL/PHYSICAL``, decimal; empty: ``DEFAULT_ID``.
    id: str = ""
    client: int = PUBLIC_CLIENT
    #: One of MECHANISMS.
    authentication: str = "none"
    #: OBIS codes; empty: ``DEFAULT_CODES``.
    codes: tuple[str, ...] = ()
    #: Names of secrets, never secrets: the password, and the keys as KEY:AK; empty where there is none.
    password: str = ""
    key: str = ""
    #: For a meter with keys.
    numbers: NumberStore | None = None


class DlmsAsker:
    """Implements ``drivers.asked.Asker``."""

    def __init__(
        self, framing: str, port: Link, meters: Sequence[DlmsSettings], secret: Secret, timeout_ms: int | None = None
    ) -> None:
        """*timeout_ms* is how long an answer is waited for; None leaves it to ``Timing``.

        Raises ConfigError for an id that *framing* (HDLC or WRAPPER) cannot have, or keys that are none, SignerError
        for secrets that cannot be had.
        """
        timing = Timing() if timeout_ms is None else Timing(timeout_s=timeout_ms / 1000)
        self._port = port
        self._meters: Mapping[str, _Asked] = {
            meter.id: _Asked(framing, port, meter, secret, timing) for meter in meters
        }

    async def ask(self, meter: str) -> Sequence[Telegram]:
        """See ``drivers.asked.Asker``."""
        return (await self._meters[meter].ask(),)

    def close(self) -> None:
        """See ``drivers.asked.Asker``; the port is open during a question only."""
        self._port.close()


class _Asked:
    """One meter."""

    def __init__(self, framing: str, port: Link, settings: DlmsSettings, secret: Secret, timing: Timing) -> None:
        self._label = f"DLMS server {settings.id or DEFAULT_ID}"
        self._framing = framing
        self._port = port
        self._settings = settings
        self._secret = secret
        self._timing = timing
        self._registers = Registers(settings.codes or DEFAULT_CODES)
        self._numbers = Numbers(settings.numbers) if settings.numbers is not None else None
        #: The meter may want higher counters than those that are next here.
        self._doubts = True
        # Made and fetched once now, so that what is none is told at the start.
        data_link(framing, settings.id, settings.client)
        self._secrets()

    async def ask(self) -> Telegram:
        """Raises MeterUnavailable or MeterProtocolError."""
        security = await self._security()
        client = self._client(self._settings.client, security)
        try:
            telegram = await self._registers.read(client)
        except (MeterUnavailable, MeterProtocolError) as error:
            # A meter that is away told nothing about its counter.
            self._doubts = self._doubts or isinstance(error, MeterProtocolError) or client.agreed is None
            kind = MeterProtocolError if isinstance(error, MeterProtocolError) else MeterUnavailable
            raise kind(f"{error}{self._advice(client, str(error))}") from error
        finally:
            try:
                await client.close()
            finally:
                # Also what was sent in vain is used up.
                if self._numbers is not None:
                    self._numbers.used(client.counter)
        self._doubts = False
        return telegram

    def _advice(self, client: Client, text: str) -> str:
        if client.agreed is not None or "check " in text:
            return ""
        wanted = "the keys" if self._numbers is not None else "the password"
        return f"; no association was made: check client, id, authentication and {wanted}"

    def _client(self, address: int, security: Security) -> Client:
        link = data_link(self._framing, self._settings.id, address)
        return Client(self._label, self._port, link, security, self._timing)

    def _secrets(self) -> tuple[bytes, Keys]:
        """Password and keys, each empty where there is none."""
        wanted = self._settings
        password = self._secret(wanted.password) if wanted.password else b""
        if not wanted.key:
            return password, Keys()
        keys = parse_keys(self._secret(wanted.key).decode("ascii", "replace"))
        if not keys.authentication:
            raise ConfigError(f"{wanted.key} holds no authentication key; write KEY:AK, 32 hexadecimal digits each")
        return password, keys

    async def _security(self) -> Security:
        try:
            password, keys = self._secrets()
        except (SignerError, ConfigError) as error:
            raise MeterUnavailable(f"{self._label}: {error}") from error
        mechanism = MECHANISMS[self._settings.authentication]
        if self._numbers is None:
            return Security(mechanism=mechanism, password=password)
        told = await lowest(self._client(PUBLIC_CLIENT, Security())) if self._doubts else 0
        title, first, end = await self._numbers.session(told)
        return Security(
            mechanism=mechanism,
            password=password,
            keys=keys,
            title=title,
            challenge=os.urandom(_CHALLENGE_SIZE),
            counter=first,
            counter_end=end,
        )


def data_link(framing: str, id_: str, client: int) -> DataLink:
    """The link to the meter of that id. Raises ConfigError for an id that *framing* cannot have."""
    found = _ID.fullmatch(id_ or DEFAULT_ID)
    wanted = "write the logical device, such as 1" if framing == WRAPPER else "write LOGICAL/PHYSICAL, such as 1/17"
    if found is None or (framing == WRAPPER and found[2] is not None):
        raise ConfigError(f"id {id_[:64]!r} is no DLMS server address; {wanted}")
    upper, lower = int(found[1]), None if found[2] is None else int(found[2])
    if framing == WRAPPER:
        if upper > 0xFFFF:
            raise ConfigError(f"id {id_!r}: a wrapper port is at most 65535; {wanted}")
        return WrapperLink(client=client, server=upper)
    try:
        return HdlcLink(client, hdlc.address(upper, lower))
    except ValueError as error:
        raise ConfigError(f"id {id_!r}: {error}; {wanted}") from error
