"""What a plain program does with the same meters: reads them each second with pymodbus and publishes JSON with paho.

No log, nothing durable, nothing signed; it is what the gateway's figures stand beside. Run by ``bench.gateway``:
``python -m bench.plain_loop MODBUS_PORT MQTT_PORT TOPIC METERS``.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time

from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from pymodbus.client import ModbusTcpClient

#: The same requests that the gateway plans for these twelve points: (address, registers).
REQUESTS = ((0, 18), (52, 2), (72, 4))
PERIOD_S = 1.0


def main(modbus_port: int, mqtt_port: int, topic: str, meters: int) -> None:
    client = mqtt.Client(CallbackAPIVersion.VERSION2, "plain-loop")
    client.connect("127.0.0.1", mqtt_port)
    client.loop_start()
    bus = ModbusTcpClient("127.0.0.1", port=modbus_port)
    bus.connect()
    due_s, never = time.monotonic(), threading.Event()
    while not never.wait(max(due_s - time.monotonic(), 0)):
        for unit in range(1, meters + 1):
            values: list[float] = []
            for address, count in REQUESTS:
                answer = bus.read_input_registers(address, count=count, device_id=unit)
                words = b"".join(word.to_bytes(2, "big") for word in answer.registers)
                values += struct.unpack(f">{count // 2}f", words)
            now_ns = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
            client.publish(topic, json.dumps({"unit": unit, "read_ns": now_ns, "values": values}), 1)
        due_s += PERIOD_S


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
