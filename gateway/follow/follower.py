"""The far side at work: takes what a channel brings, has it judged and stored, and only then acknowledges it.

A feed (``gateway/follow/mqtt.py``, ``gateway/follow/directory.py``) brings deliveries, the receiver judges them, a
report tells people or programs. Where entries are missing and the feed can ask for them, the gap is reported only if
asking does not help: three times without any progress, 5 s each. It is asked again when something new is missing, and
every minute. What comes behind a hole meanwhile is kept (``gateway/follow/held.py``).

A connection that breaks takes the request with it: that try does not count, nothing is given up while there is no
connection, and 0.5 s after the next one is made it is asked again.

The exit code: 4 when a finding is evidence of tampering; 1 when the size waited for was not reached, entries of a
reported gap are still missing, a policy's witnesses have not said enough, or the channel has fallen silent; 3 when the
channel was never reached; 130 after Ctrl-C; 0 otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from gateway.channel import MAX_REQUEST, Request
from gateway.errors import EXIT_INTERRUPTED, EXIT_NO, EXIT_OK, EXIT_TAMPER, UnavailableError
from gateway.follow.held import Held
from gateway.follow.silence_watch import SilenceWatch
from gateway.follow.witness_watch import WitnessWatch
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding, Missing, Outcome

#: How long a feed may take to be reached for the first time, in seconds.
REACH_S_MAX = 10.0
_QUIET_S = 0.5
_ANSWER_S = 5.0
_RETRY_S = 60.0
_TRIES = 3
_STEP_S = 0.2


class What(Enum):
    """The part of a channel that a delivery is from."""

    GENESIS = "genesis"
    CHECKPOINT = "checkpoint"
    MESSAGE = "entries"
    #: The answer to a request of ours.
    ANSWER = "answer"
    #: The checkpoint that witnesses cosigned last.
    COSIGNED = "cosigned"


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Bytes from a channel; *token* is the feed's own."""

    what: What
    data: bytes
    token: object = None


class Feed(Protocol):
    """A way to one channel's messages."""

    #: Whether the channel was there at any time.
    reached: bool
    #: Whether missing entries can be asked for, if not now then when there is a connection again.
    can_ask: bool
    #: The connection that a request goes out on: another number after each break; 0 while there is none.
    connection: int
    #: What is wrong now, in words; empty while all is well.
    trouble: str

    def take(self, timeout_s: float) -> list[Delivery]:
        """What came, in order, at most 64 at a time; waits *timeout_s* for the first.

        Raises UnavailableError when there is no use in waiting.
        """

    def done(self, deliveries: Sequence[Delivery]) -> None:
        """These are stored: the channel may forget them."""

    def ask(self, request: Request) -> None:
        """Asks for entries again; they come as answers, or not."""

    def close(self) -> None:
        """Ends the connection; may be called twice."""


class Report(Protocol):
    """Tells what happened."""

    def accepted(self, accepted: Accepted) -> None:
        """A message was accepted."""

    def finding(self, finding: Finding) -> None:
        """Something was wrong."""

    def notice(self, text: str) -> None:
        """News of the connection, for people."""


class Asker:
    """Decides when to ask for what is missing. *clock* gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._missing: Missing | None = None
        self._since_s = 0.0
        self._tries = 0
        self._asked: Request | None = None

    @property
    def gave_up(self) -> bool:
        """Whether asking did not help so far."""
        return self._tries >= _TRIES

    def next(self, missing: Missing | None) -> Request | None:
        """The request to send now, given what is missing now."""
        now_s = self._clock()
        if missing is None:
            self._missing, self._tries, self._asked = None, 0, None
            return None
        if self._missing is None or missing.from_seq != self._missing.from_seq:
            # Progress: what came may be the beginning of an answer.
            answered = self._asked is not None and missing.from_seq >= self._asked.to_seq
            self._missing, self._tries, self._since_s = missing, 0, now_s
            self._asked = None if answered else self._asked
            return self._ask(missing, now_s) if answered else None
        pause_s = _RETRY_S if self.gave_up else _ANSWER_S if self._asked is not None else _QUIET_S
        if now_s - self._since_s < pause_s:
            return None
        if self._asked is not None:
            self._tries += 1
            if self._tries == _TRIES:
                self._since_s = now_s
                return None
        return self._ask(missing, now_s)

    def renew(self) -> None:
        """The connection is another one: what was asked on the last is not answered any more."""
        self._asked, self._since_s = None, self._clock()
        # Whoever did not answer before may be there now; one more try shows it.
        self._tries = min(self._tries, _TRIES - 1)

    def _ask(self, missing: Missing, now_s: float) -> Request:
        to_seq = min(missing.to_seq, missing.from_seq + MAX_REQUEST)
        self._asked, self._since_s = Request(from_seq=missing.from_seq, to_seq=to_seq), now_s
        return self._asked


class Follower:
    """Follows one channel until it is told to stop, the size is reached, or time is up."""

    def __init__(
        self,
        receiver: Receiver,
        feed: Feed,
        report: Report,
        clock: Callable[[], float],
        watch: WitnessWatch | None = None,
        silence: SilenceWatch | None = None,
        each_step: Callable[[], None] = lambda: None,
    ) -> None:
        """*each_step* is called several times a second, and whenever something came and is stored."""
        self.findings = 0
        self.tampered = False
        #: Set from a signal handler: the exit code to end with.
        self.stop: int | None = None
        self._receiver, self._feed, self._report, self._clock = receiver, feed, report, clock
        self._asker, self._held, self._connection = Asker(clock), Held(), 0
        self._watch, self._silence, self._each_step = watch, silence, each_step
        self._gaps: list[Finding] = []
        self._gap_end = 0
        self._trouble = ""

    def run(self, *, until_size: int | None = None, timeout_s: float | None = None) -> int:
        """Returns the exit code. Raises UnavailableError when the channel was never reached, or the store fails."""
        began_s = self._clock()
        try:
            while self.stop is None and not self._reached(until_size):
                left_s = None if timeout_s is None else began_s + timeout_s - self._clock()
                if left_s is not None and left_s <= 0:
                    break
                self._step(_STEP_S if left_s is None else min(left_s, _STEP_S))
                if not self._feed.reached and self._clock() - began_s > REACH_S_MAX:
                    break
        finally:
            self._feed.close()
        if not self._feed.reached and self.stop is None and not self._reached(until_size):
            raise UnavailableError(self._feed.trouble or "the channel could not be reached")
        self._report_gaps()
        return self._exit_code(until_size)

    def _reached(self, until_size: int | None) -> bool:
        verified = self._receiver.verified
        return until_size is not None and verified >= until_size and (not self._watch or self._watch.met(until_size))

    def _step(self, timeout_s: float) -> None:
        deliveries = self._feed.take(timeout_s)
        outcomes = [outcome for delivery in deliveries for outcome in self._judge(delivery)]
        if deliveries:
            self._receiver.commit()
            # Stored: from here on the channel may forget the messages. A crash before this brings them again.
            self._feed.done(deliveries)
        for outcome in outcomes:
            self._tell(outcome)
        self._ask_missing()
        for watch in (self._watch, self._silence):
            if watch is not None and (finding := watch.look(self._clock())) is not None:
                self._found(finding)
        if self._feed.trouble != self._trouble:
            self._trouble = self._feed.trouble
            self._report.notice(self._trouble or "connected")
        self._each_step()

    def _judge(self, delivery: Delivery) -> list[Outcome]:
        if delivery.what is What.GENESIS:
            return self._receiver.accept_genesis(delivery.data)
        if delivery.what is What.COSIGNED and not delivery.data:
            # Nothing was cosigned since the gateway's start.
            return []
        if delivery.what in (What.CHECKPOINT, What.COSIGNED):
            return self._receiver.accept_checkpoint(delivery.data)
        # What we asked for is no finding when it comes twice.
        outcomes = self._accept(delivery.data, asked=delivery.what is What.ANSWER)
        while (data := self._held.take(self._receiver.size)) is not None:
            # It was judged, and told of, when it came.
            outcomes += self._accept(data, asked=True)
        return outcomes

    def _accept(self, data: bytes, *, asked: bool) -> list[Outcome]:
        outcomes = self._receiver.accept(data)
        for item in outcomes:
            if isinstance(item, Accepted) and not item.anchored:
                self._held.keep(item.from_seq, data)
        return [item for item in outcomes if not asked or isinstance(item, Accepted) or item.kind != "duplicate"]

    def _tell(self, outcome: Outcome) -> None:
        if isinstance(outcome, Accepted):
            if outcome.anchored or not self._gaps:
                self._report.accepted(outcome)
        elif outcome.kind == "gap" and self._feed.can_ask and not self._asker.gave_up:
            self._gaps.append(outcome)
        else:
            self._found(outcome)

    def _found(self, finding: Finding) -> None:
        self.findings += 1
        self.tampered |= not finding.benign
        if finding.kind == "gap" and finding.to_seq is not None:
            self._gap_end = max(self._gap_end, finding.to_seq + 1)
        self._report.finding(finding)

    def _ask_missing(self) -> None:
        missing, connection = self._receiver.missing, self._feed.connection
        if connection != self._connection:
            self._connection = connection
            self._asker.renew()
        if missing is not None and missing.from_seq == self._receiver.size:
            missing = self._held.narrow(missing)
        request = self._asker.next(missing) if connection and self._feed.can_ask else None
        if request is not None:
            self._feed.ask(request)
        if missing is None and self._gaps:
            self._report.notice("missing entries were asked for, and came")
            self._gaps.clear()
        elif self._gaps and (self._asker.gave_up or not self._feed.can_ask):
            self._report_gaps()

    def _report_gaps(self) -> None:
        """What asking did not bring."""
        for gap in self._gaps:
            if gap.to_seq is not None and gap.to_seq >= self._receiver.size:
                self._found(gap)
        self._gaps.clear()

    def _exit_code(self, until_size: int | None) -> int:
        if self.tampered:
            return EXIT_TAMPER
        if self._watch is not None and not self._watch.met(until_size or 0):
            return EXIT_NO
        if self._silence is not None and self._silence.silent:
            return EXIT_NO
        if self._reached(until_size):
            return EXIT_OK
        if self.stop == EXIT_INTERRUPTED:
            return EXIT_INTERRUPTED
        short = until_size is not None or self._receiver.size < self._gap_end
        return EXIT_NO if short else self.stop or EXIT_OK
