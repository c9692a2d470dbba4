"""EUMEL 1.0 and 2.1.1, a data logger in front of a three-phase meter: points of SunSpec models 211 to 214 as XML.

::

    <SunSpecData v="1"><d man="VERBUND" mod="Power-Meter" sn="A84041172836" t="2017-11-17T15:45:43Z">
      <m id="211"><p id="TotWhImp">123.45</p>…</m></d></SunSpecData>

Version 2.1.1 sends ``v=""`` and, before the block of values, ``<m id="1">`` with what the logger is. Sample replies
are in energywebfoundation/ew-link-bond, ``docs/EumelXMLv1.xml`` and ``docs/EumelXMLv2.1.1.xml``.

- GET ``/rest`` (1.0) or ``/wizard/public/api/rest`` (2.1.1), with Basic authentication.
- The block of values is the first ``m`` whose id is 211, 212, 213 or 214, wherever it stands. 211 is what is sent,
  though three phases are told.
- What the site produces is ``TotWhExp``, 1-0:2.8.0; what it consumes is ``TotWhImp``, 1-0:1.8.0; both watt-hours.
  Values have two decimals and are kept as sent. ``-0.00`` is 0.
- ``A`` and ``PhV`` are sum and mean as the logger reckons them. Line-to-line voltages, reactive power of a phase,
  ``Evt`` and ``Temperature`` have no OBIS code, and keep their names.
- ``t`` is UTC. A point's id that stands twice (1.0 sends ``TotVAhImpPhB`` twice, where phase C should be) counts
  once, the first time, and a remark says so.
"""

from __future__ import annotations

from drivers.http.exact import Number, Unusable, clip, time_ms
from drivers.http.points import decoded, point, telegram
from drivers.http.tree import Element, parse
from drivers.telegram import BrokenTelegram, Telegram, TelegramPoint

PATHS = {"eumel-1": "/rest", "eumel-2": "/wizard/public/api/rest"}
#: A longer id is no point's.
NAME_MAX = 32
_BLOCKS = ("211", "212", "213", "214")
_COMMON = "1"
#: Point → group C of its sum, kind D, unit. Phases are 20, 40 and 60 more.
_SUMS = {
    "A": (11, 7, "A"),
    "PhV": (12, 7, "V"),
    "Hz": (14, 7, "Hz"),
    "W": (16, 7, "W"),
    "VA": (9, 7, "VA"),
    "VAR": (131, 7, "var"),
    "PF": (13, 7, ""),
    "TotWhExp": (2, 8, "Wh"),
    "TotWhImp": (1, 8, "Wh"),
    "TotVAhExp": (10, 8, "VAh"),
    "TotVAhImp": (9, 8, "VAh"),
    "TotVArhImpQ1": (5, 8, "varh"),
    "TotVArhImpQ2": (6, 8, "varh"),
    "TotVArhExpQ3": (7, 8, "varh"),
    "TotVArhExpQ4": (8, 8, "varh"),
}
_PLAIN = {"PPV": "V", "PPVphAB": "V", "PPVphBC": "V", "PPVphCA": "V", "Evt": "", "Temperature": "°C"}
_PHASES = {"A": 20, "B": 40, "C": 60}


def decode(data: bytes, protocol: str = "eumel-2", sn: str = "") -> Telegram | BrokenTelegram:
    """One reply; of several meters in it the one with serial number *sn*."""
    return decoded(protocol, data, lambda reply: _decode(reply, protocol, sn))


def _decode(data: bytes, protocol: str, sn: str) -> Telegram:
    root = parse(data)
    if root.name != "SunSpecData":
        raise Unusable(f"its root is {clip(root.name)}, not SunSpecData; check the protocol and the address")
    remarks: list[str] = []
    device = _device(root, sn, remarks)
    blocks = [block for block in device.named("m") if block.attributes.get("id") in _BLOCKS]
    if not blocks:
        told = ", ".join(clip(block.attributes.get("id", "")) for block in device.named("m")[:8])
        raise Unusable(f"it has no block m with id {', '.join(_BLOCKS)}, only {told or 'none'}")
    if len(blocks) > 1:
        remarks.append("it has more than one block of values; the first counts")
    points = [_point(one) for one in blocks[0].named("p") if 1 <= len(one.attributes.get("id", "")) <= NAME_MAX]
    own = device.attributes.get("sn", "")
    _compare(device, own, remarks)
    return telegram(protocol, data, points, meter=own, time_ms=_time(device, remarks), remarks=remarks)


def _device(root: Element, sn: str, remarks: list[str]) -> Element:
    devices = root.named("d")
    if not devices:
        raise Unusable("it has no element d")
    if len(devices) == 1:
        return devices[0]
    chosen = [device for device in devices if sn and device.attributes.get("sn") == sn]
    if not chosen:
        remarks.append("it tells of several meters; the first counts, set id to the sn of the one that is meant")
    return (chosen or devices)[0]


def _time(device: Element, remarks: list[str]) -> int | None:
    try:
        return time_ms(device.attributes.get("t", ""))
    except Unusable:
        remarks.append("its time t is missing or no time, so an old reply cannot be told from a new one")
        return None


def _compare(device: Element, own: str, remarks: list[str]) -> None:
    for block in device.named("m"):
        if block.attributes.get("id") == _COMMON:
            inside = [one.text.strip() for one in block.named("p") if one.attributes.get("id") == "SN"]
            if inside and inside[0] != own:
                remarks.append("the serial numbers in d and in its common block differ; that of d counts")


def _point(element: Element) -> TelegramPoint:
    name = element.attributes.get("id", "")
    code, unit = _meaning(name)
    return point(code, unit, Number(element.text.strip()))


def _meaning(name: str) -> tuple[str, str]:
    """Code and unit of a point; one that is not known is its own name and has no unit."""
    if name in _PLAIN:
        return name, _PLAIN[name]
    is_phase = name[-3:-1] in ("ph", "Ph") and name[-1] in _PHASES
    base, phase = (name[:-3], name[-1]) if is_phase else (name, "")
    known = _SUMS.get(base)
    if known is None:
        return name, ""
    group, kind, unit = known
    if base == "VAR" and phase:
        return name, unit
    return f"1-0:{group + _PHASES.get(phase, 0)}.{kind}.0", unit
