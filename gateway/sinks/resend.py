"""Answers requests for entries again (topic T/request, MQTT 5 only): bounded, one at a time, and at a bounded rate.

A request is the CBOR of ``gateway.channel.Request`` with a Response Topic and Correlation Data (MQTT 5.0 section 4.10).
The answer is the same messages that go to T/entries, each with the request's correlation data, sent with QoS 1 to the
response topic; entries that do not exist yet are left out, and there is no other end mark than the entry before
``to_seq``. The response topic must lie below T/reply/, so that nobody can make the gateway publish anywhere else; who
may write to T/request is the broker's to say.

What is malformed, or comes while 16 requests wait, is dropped: the asker asks again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator

from gateway.channel import MAX_TOPIC, Message, Request, Topics, decode_request, encode_message
from gateway.errors import GatewayError, MalformedError, SinkUnavailable
from gateway.sinks.mqtt_link import Incoming, Link

WAITING_MAX = 16
CORRELATION_BYTES_MAX = 256
ENTRIES_PER_S = 10_000
#: After each request, however small: where to begin in the log has to be looked for.
REQUEST_PAUSE_S = 0.2

#: From a range and the largest encoded message to the messages that hold its entries; ``gateway.packing.resend`` bound
#: to a log.
Reread = Callable[[int, int, int], Iterator[Message]]

_log = logging.getLogger(__name__)


class Resender:
    """Serves the requests of one connection."""

    def __init__(self, label: str, topics: Topics, reread: Reread, link: Link) -> None:
        self._label, self._topics, self._reread, self._link = label, topics, reread, link
        self._waiting: asyncio.Queue[tuple[Request, str, bytes | None]] = asyncio.Queue(WAITING_MAX)
        self._complained = False

    def offer(self, incoming: Incoming) -> None:
        """Takes one request, or drops it."""
        try:
            check_topics(self._topics, incoming)
            request = decode_request(incoming.payload)
            self._waiting.put_nowait((request, incoming.response_topic, incoming.correlation))
        except MalformedError as error:
            self._complain(f"dropped a request: {error}")
        except asyncio.QueueFull:
            self._complain(f"dropped a request: {WAITING_MAX} are waiting already")

    async def run(self) -> None:
        """Serves for as long as the link lasts."""
        while True:
            request, topic, correlation = await self._waiting.get()
            try:
                await self._serve(request, topic, correlation)
            except SinkUnavailable as error:
                # A refused topic; if it is the link that ended, the sink ends this task.
                self._complain(str(error))
            except (GatewayError, OSError) as error:
                self._complain(f"could not answer a request: {error}")
            await asyncio.sleep(REQUEST_PAUSE_S)

    async def _serve(self, request: Request, topic: str, correlation: bytes | None) -> None:
        limit = self._link.packet_bytes_max - 2 * MAX_TOPIC - CORRELATION_BYTES_MAX
        for message in self._reread(request.from_seq, request.to_seq, limit):
            # One message in flight: what is new goes beside it without waiting for long.
            await self._link.publish(topic, encode_message(message), correlation=correlation)
            await asyncio.sleep(len(message.entries) / ENTRIES_PER_S)

    def _complain(self, text: str) -> None:
        # Once for each connection: a flood of bad requests must not become a flood in the journal.
        _log.log(logging.DEBUG if self._complained else logging.WARNING, "%s: %s", self._label, text)
        self._complained = True


def check_topics(topics: Topics, incoming: Incoming) -> None:
    """Raises MalformedError unless this is a request whose answer may go where it says."""
    if incoming.topic != topics.request:
        raise MalformedError(f"topic {incoming.topic[:80]!r} was not asked for")
    topic, prefix = incoming.response_topic, f"{topics.base}/reply/"
    if not topic.startswith(prefix) or topic == prefix or len(topic.encode()) > 2 * MAX_TOPIC:
        raise MalformedError(f"response topic {topic[:80]!r} is not below {prefix}")
    if any(c in "+#" or not c.isprintable() for c in topic):
        raise MalformedError(f"response topic {topic[:80]!r} has wildcards or control characters")
    if len(incoming.correlation or b"") > CORRELATION_BYTES_MAX:
        raise MalformedError(f"correlation data of more than {CORRELATION_BYTES_MAX} bytes")
