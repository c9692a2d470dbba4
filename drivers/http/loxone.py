"""Loxone Miniserver: a virtual output whose text holds a meter's total (web services, ``/dev/sps/io/NAME/``).

::

    <LL control="dev/sps/io/Produced/" value="&quot;device&quot;:{&quot;manufacturer&quot;:&quot;Siemens&quot;,
     …,&quot;measuredEnergy&quot;:[{&quot;accumulated_power&quot;:1.111111,
     &quot;measurement_time&quot;:2018-09-14T18:01:51+02:00}]}&quot;" Code="200"/>

Sources: the element, its code and the path from Loxone's "Web Services"; the text from the driver of
energywebfoundation/ew-link-origin (branch x64-legacy, ``bond/core/input/fronius.py``), which is a program's and nobody
else's. It looks like JSON and is none: no outer brace, the time without quotes. It is searched for its members,
each of which must stand there once.

- ``accumulated_power`` is energy: accumulated kilowatt-hours, whatever its name says.
- The id is the output's name, ``Produced`` (1-0:2.8.0) or ``Consumed`` (1-0:1.8.0). Another name needs the direction in
  front, ``produced/NAME`` or ``consumed/NAME``, since nothing in the reply tells it.
- A plain number, which any output sends, has no unit: it is refused.
"""

from __future__ import annotations

import re
from urllib.parse import quote

from drivers.http.exact import Number, Unusable, clip, time_ms
from drivers.http.points import decoded, point, telegram
from drivers.http.source import Document
from drivers.http.tree import parse
from drivers.telegram import BrokenTelegram, Telegram
from gateway.errors import ConfigError

PROTOCOL = "loxone"
_CODES = {"produced": "1-0:2.8.0", "consumed": "1-0:1.8.0"}
_MEMBER = r'"{}"\s*:\s*(?:"([^"]*)"|([^\s,"\]}}]+))'


def source(id_: str) -> Document:
    """The document of an output. Raises ConfigError."""
    direction, _, name = id_.partition("/") if "/" in id_ else (id_.lower(), "", id_)
    if direction not in _CODES or not name:
        raise ConfigError(f"id {id_!r}: {PROTOCOL} wants Produced, Consumed, produced/NAME or consumed/NAME")
    return Document(f"/dev/sps/io/{quote(name, safe='')}/", lambda data: decode(data, direction))


def decode(data: bytes, direction: str) -> Telegram | BrokenTelegram:
    """One reply; *direction* is ``produced`` or ``consumed``."""
    return decoded(PROTOCOL, data, lambda reply: _decode(reply, direction))


def _decode(data: bytes, direction: str) -> Telegram:
    root = parse(data)
    if root.name != "LL":
        raise Unusable(f"its root is {clip(root.name)}, not LL; check the protocol and the address")
    code = root.attributes.get("Code", root.attributes.get("code", ""))
    if code != "200":
        raise Unusable(f"the Miniserver says code {clip(code)}; check id and the user's rights")
    text = root.attributes.get("value", "")
    energy = _member(text, "accumulated_power")
    if not energy:
        raise Unusable("its value has no member accumulated_power, so what it measures and in which unit is not told")
    when = _member(text, "measurement_time")
    remarks = () if when else ("it has no measurement_time, so an old value cannot be told from a new one",)
    return telegram(
        PROTOCOL,
        data,
        [point(_CODES[direction], "kWh", Number(energy))],
        meter=_member(text, "serial_number"),
        time_ms=time_ms(when) if when else None,
        remarks=remarks,
    )


def _member(text: str, name: str) -> str:
    """The member's text; empty where it is not there. Raises Unusable where it stands twice."""
    found = re.findall(_MEMBER.format(name), text)
    if len(found) > 1:
        raise Unusable(f"its value has {name} {len(found)} times")
    return (found[0][0] or found[0][1]) if found else ""
