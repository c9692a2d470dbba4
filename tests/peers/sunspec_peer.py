"""SunSpec by the SunSpec Alliance's own pysunspec2: answers lines of JSON with lines of JSON.

- ``{"layout": ID}``: the model's length, and for each of its points the offset, type, units and the scale factor's
  offset, as the library's model files have them.
- ``{"build": [[ID, {POINT: RAW}], …]}``: the registers of a device with these models, from ``SunS`` to the end, in hex.
- ``{"read": PORT, "unit": UNIT}``: all models that the library finds over TCP, and for each point ``[RAW, SCALE]``.
"""

import json
import sys

from sunspec2.device import Model
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP


def points(group):
    found = dict(group.points)
    for inner in group.groups.values():
        for one in inner if isinstance(inner, list) else [inner]:
            found.update(points(one))
    return found


def layout(number):
    model = Model(number)
    known = points(model)
    return {
        "length": model.len - 2,
        "points": {
            name: {
                "offset": point.offset,
                "type": point.pdef["type"],
                "units": point.pdef.get("units"),
                "scale": known[point.sf].offset if point.sf in known else None,
            }
            for name, point in known.items()
        },
    }


def build(models):
    data = b"SunS"
    for number, values in models:
        model = Model(number)
        known = points(model)
        for name, raw in values.items():
            known[name].value = raw
        content = model.get_mb()
        data += content[:2] + (len(content) // 2 - 2).to_bytes(2, "big") + content[4:]
    return (data + b"\xff\xff\0\0").hex()


def read(port, unit):
    device = SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr="127.0.0.1", ipport=port, timeout=10)
    device.scan()
    found = {}
    for number, models in device.models.items():
        if isinstance(number, int):
            known = points(models[0])
            found[number] = {
                name: [point.value, known[point.sf].value if point.sf in known else 0] for name, point in known.items()
            }
    return found


for line in sys.stdin:
    job = json.loads(line)
    if "layout" in job:
        answer = layout(job["layout"])
    elif "build" in job:
        answer = build(job["build"])
    else:
        answer = read(job["read"], job["unit"])
    print(json.dumps(answer), flush=True)
