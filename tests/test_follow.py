"""When the far side asks for what is missing, and what it says when asking does not help."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from gateway.channel import MAX_REQUEST, Request
from gateway.errors import EXIT_INTERRUPTED, EXIT_NO, EXIT_OK, EXIT_TAMPER, UnavailableError
from gateway.follow.follower import Asker, Delivery, Follower, What
from gateway.follow.silence_watch import SilenceWatch
from gateway.receiver.receiver import Receiver
from gateway.receiver.run import Accepted, Finding, Missing
from tests.honest_log import HonestLog


class Hands:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def log() -> HonestLog:
    return HonestLog().grow(60)


def test_it_asks_after_a_quiet_moment_and_gives_up_after_three_tries() -> None:
    """0.5 s, then each 5 s; then once a minute."""
    clock, missing = Hands(), Missing(from_seq=5, to_seq=50)
    asker, asked = Asker(clock), []
    for _ in range(400):
        if (request := asker.next(missing)) is not None:
            asked.append((clock.now_s - 100, asker.gave_up))
            assert request == Request(from_seq=5, to_seq=50)
        clock.now_s += 0.25
    assert asked == [(0.5, False), (5.5, False), (10.5, False), (75.5, True)]


def test_large_holes_are_asked_for_piece_by_piece() -> None:
    """The next piece is asked for as soon as the one before is there, without a pause."""
    clock, asked = Hands(), []
    asker, at, end = Asker(clock), 0, 3 * MAX_REQUEST + 10
    while at < end:
        request = asker.next(Missing(from_seq=at, to_seq=end))
        if request is not None:
            assert request.from_seq == at
            asked.append(request.to_seq - request.from_seq)
            at = request.to_seq
        else:
            clock.now_s += 0.1
    assert asked == [MAX_REQUEST] * 3 + [10]
    assert clock.now_s < 101


def test_a_request_that_the_connection_took_with_it_does_not_count() -> None:
    """It is made again 0.5 s after the next connection is there, and only what had its 5 s was a try."""
    clock, missing = Hands(), Missing(from_seq=5, to_seq=50)
    asker, asked = Asker(clock), []
    for step in range(100):
        if step in {8, 16, 24, 32}:
            asker.renew()
        if asker.next(missing) is not None:
            asked.append(clock.now_s - 100)
        clock.now_s += 0.25
        assert asker.gave_up == (clock.now_s > 123.5), clock.now_s
    assert asked == [0.5, 2.5, 4.5, 6.5, 8.5, 13.5, 18.5]


def test_whoever_gave_up_tries_once_more_on_the_next_connection() -> None:
    """A gateway that was away may be back with it: a minute is not waited for."""
    clock, missing = Hands(), Missing(from_seq=5, to_seq=50)
    asker = Asker(clock)
    while not asker.gave_up:
        asker.next(missing)
        clock.now_s += 0.25
    asker.renew()
    clock.now_s += 0.5
    assert asker.next(missing) == Request(from_seq=5, to_seq=50)
    clock.now_s += 5
    assert asker.next(missing) is None
    assert asker.gave_up


def test_progress_resets_the_patience() -> None:
    """As long as something comes, nothing is asked twice."""
    clock = Hands()
    asker = Asker(clock)
    asker.next(Missing(from_seq=0, to_seq=1000))
    clock.now_s += 1
    assert asker.next(Missing(from_seq=0, to_seq=1000)) is not None
    for seq in range(1, 900):
        clock.now_s += 4
        assert asker.next(Missing(from_seq=seq, to_seq=1000)) is None
    assert not asker.gave_up
    assert asker.next(None) is None


class ScriptedFeed:
    """A ``gateway.follow.Feed`` that brings what the test says, one batch per take, and accuses misuse."""

    def __init__(self, clock: Hands, batches: Sequence[Sequence[Delivery]], *, can_ask: bool = False) -> None:
        self.reached, self.can_ask, self.trouble = True, can_ask, ""
        self.connection = 1 if can_ask else 0
        self.asked: list[Request] = []
        self.answers: dict[int, list[Delivery]] = {}
        self.acknowledged: list[Delivery] = []
        #: What ``connection`` becomes with each of the next batches.
        self.connections: list[int] = []
        self._clock, self._batches, self._closed = clock, [list(batch) for batch in batches], False

    def take(self, timeout_s: float) -> list[Delivery]:
        assert not self._closed
        self._clock.now_s += timeout_s
        self.connection = self.connections.pop(0) if self.connections else self.connection
        return self._batches.pop(0) if self._batches else []

    def done(self, deliveries: Sequence[Delivery]) -> None:
        self.acknowledged += deliveries

    def ask(self, request: Request) -> None:
        assert self.connection
        self.asked.append(request)
        self._batches.insert(0, self.answers.get(request.from_seq, []))

    def close(self) -> None:
        self._closed = True


class Lines:
    """A ``gateway.follow.Report`` that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.notices: list[str] = []

    def accepted(self, accepted: Accepted) -> None:
        self.said.append(f"{accepted.from_seq}-{accepted.to_seq}{'' if accepted.anchored else ' loose'}")

    def finding(self, finding: Finding) -> None:
        self.said.append(f"{finding.kind} {finding.seq}")

    def notice(self, text: str) -> None:
        self.notices.append(text)


def entries(data: bytes, what: What = What.MESSAGE) -> Delivery:
    return Delivery(what=what, data=data)


def follow(
    log: HonestLog, batches: Sequence[Sequence[Delivery]], *, can_ask: bool = False, until: int | None = None
) -> tuple[int, Lines, ScriptedFeed]:
    clock, lines = Hands(), Lines()
    feed = ScriptedFeed(clock, batches, can_ask=can_ask)
    follower = Follower(Receiver(keys=[log.vkey]), feed, lines, clock)
    return follower.run(until_size=until, timeout_s=120), lines, feed


def test_a_hole_that_asking_fills_is_no_finding(log: HonestLog) -> None:
    """The loose entries behind it are told only once, when they are anchored."""
    clock, lines = Hands(), Lines()
    feed = ScriptedFeed(clock, [[entries(log.message(0, 10))], [entries(log.message(20, 30))]], can_ask=True)
    feed.answers[10] = [entries(log.message(10, 30, 30), What.ANSWER)]
    follower = Follower(Receiver(keys=[log.vkey]), feed, lines, clock)
    assert follower.run(until_size=30, timeout_s=60) == EXIT_OK
    assert lines.said == ["0-9", "10-29"]
    assert feed.asked == [Request(from_seq=10, to_seq=20)]
    assert follower.findings == 0


def test_what_came_behind_a_hole_need_not_come_again(log: HonestLog) -> None:
    """Messages go on coming faster than answers: filling the hole is enough, and all of them count from then on."""
    clock, lines = Hands(), Lines()
    live = [[entries(log.message(seq, seq + 1))] for seq in range(20, 60)]
    late = [entries(log.message(10, 20, 20), What.ANSWER)]
    feed = ScriptedFeed(clock, [[entries(log.message(0, 10))], *live[:5], late, *live[5:]], can_ask=True)
    follower = Follower(Receiver(keys=[log.vkey]), feed, lines, clock)
    assert follower.run(timeout_s=60) == EXIT_OK
    assert feed.asked == [Request(from_seq=10, to_seq=20)]
    assert lines.said == ["0-9", "10-19", *(f"{seq}-{seq}" for seq in range(20, 60))]


@pytest.mark.parametrize("connections", [[1] * 6 + [0] * 100 + [2], [0] * 100 + [1] * 6 + [2]])
def test_a_broken_connection_is_no_gap(log: HonestLog, connections: list[int]) -> None:
    """A hole that was asked for when it broke, or seen before it was there, is asked for on the next one."""
    clock, lines = Hands(), Lines()
    feed = ScriptedFeed(clock, [[entries(log.message(0, 10))], [entries(log.message(20, 30))]], can_ask=True)
    # Twenty seconds without any connection.
    feed.connections = connections
    follower = Follower(Receiver(keys=[log.vkey]), feed, lines, clock)
    assert follower.run(timeout_s=22.5) == EXIT_NO
    assert feed.asked == [Request(from_seq=10, to_seq=20)] * 2
    assert lines.said == ["0-9", "gap 10"], "that nothing came is told at the end only"


def test_a_forgery_behind_a_hole_is_seen_when_the_hole_is_filled(log: HonestLog) -> None:
    """It could not be judged before; it is not stored, and what is true is asked for."""
    clock, lines = Hands(), Lines()
    forged = log.branch(10, "forged").grow(30)
    feed = ScriptedFeed(clock, [[entries(log.message(0, 10, 10))], [entries(forged.message(20, 30))]], can_ask=True)
    feed.answers[10] = [entries(log.message(10, 20), What.ANSWER), entries(log.message(20, 40, 40), What.ANSWER)]
    follower = Follower(Receiver(keys=[log.vkey]), feed, lines, clock)
    assert follower.run(until_size=40, timeout_s=60) == EXIT_TAMPER
    assert lines.said == ["0-9", "10-19", "fork 19", "20-39"]


def test_a_hole_that_asking_does_not_fill_is_a_gap(log: HonestLog) -> None:
    """Three tries, then the finding and exit code 1."""
    code, lines, feed = follow(log, [[entries(log.message(0, 10))], [entries(log.message(20, 30))]], can_ask=True)
    assert (code, lines.said) == (EXIT_NO, ["0-9", "gap 10"])
    assert feed.asked[:3] == [Request(from_seq=10, to_seq=20)] * 3


def test_without_anyone_to_ask_a_hole_is_a_gap_at_once(log: HonestLog) -> None:
    """What follows is told as loose; when the hole is filled after all, the exit code is 0."""
    batches = [[entries(log.message(0, 10))], [entries(log.message(20, 30))]]
    code, lines, _ = follow(log, batches)
    assert (code, lines.said) == (EXIT_NO, ["0-9", "gap 10", "20-29 loose"])
    code, lines, _ = follow(log, [*batches, [entries(log.message(10, 30))]])
    assert (code, lines.said[-1]) == (EXIT_OK, "10-29")


def test_repeats_in_an_answer_are_no_finding(log: HonestLog) -> None:
    """We asked for them; the same repeat from the sender is one."""
    repeat = log.message(0, 5)
    code, lines, _ = follow(log, [[entries(log.message(0, 10))], [entries(repeat, What.ANSWER), entries(repeat)]])
    assert (code, lines.said) == (EXIT_OK, ["0-9", "duplicate 0"])


def test_disputed_entries_are_asked_for_from_the_settled_size(log: HonestLog) -> None:
    """A forged beginning is overruled by asking again for all that is not settled."""
    forged = log.branch(10, "forged").grow(15)
    clock, lines = Hands(), Lines()
    batches = [log.message(0, 10, 10), forged.message(10, 15), log.message(15, 20, 20)]
    feed = ScriptedFeed(clock, [[entries(data)] for data in batches], can_ask=True)
    feed.answers[10] = [entries(log.message(10, 20, 20), What.ANSWER)]
    code = Follower(Receiver(keys=[log.vkey]), feed, lines, clock).run(until_size=20, timeout_s=60)
    assert code == EXIT_TAMPER
    assert lines.said == ["0-9", "10-14", "fork 14", "fork 10", "10-19"]


def test_everything_taken_is_acknowledged_once(log: HonestLog) -> None:
    """Junk too: it would come again for ever."""
    batches = [[entries(log.message(0, 10, 10)), entries(b"junk")], [entries(log.entries[0], What.GENESIS)]]
    code, _, feed = follow(log, batches)
    assert code == EXIT_TAMPER
    assert feed.acknowledged == [item for batch in batches for item in batch]


def test_a_store_that_fails_acknowledges_nothing(log: HonestLog, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error ends the run before the channel may forget the message."""
    clock = Hands()
    receiver, feed = Receiver(keys=[log.vkey]), ScriptedFeed(clock, [[entries(log.message(0, 10))]])

    def refuse() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(receiver, "commit", refuse)
    with pytest.raises(OSError, match="No space left"):
        Follower(receiver, feed, Lines(), clock).run()
    assert feed.acknowledged == []


def test_exit_codes(log: HonestLog) -> None:
    """Size reached, size not reached, never there, interrupted."""
    whole = [[entries(log.message(0, 60, 60))]]
    assert follow(log, whole, until=60)[0] == EXIT_OK
    assert follow(log, whole, until=61)[0] == EXIT_NO
    assert follow(log, whole)[0] == EXIT_OK
    clock = Hands()
    feed = ScriptedFeed(clock, [])
    feed.reached, feed.trouble = False, "nobody is there"
    with pytest.raises(UnavailableError, match="nobody is there"):
        Follower(Receiver(keys=[log.vkey]), feed, Lines(), clock).run()
    assert clock.now_s < 111
    follower = Follower(Receiver(keys=[log.vkey]), ScriptedFeed(clock, []), Lines(), clock)
    follower.stop = EXIT_INTERRUPTED
    assert follower.run() == EXIT_INTERRUPTED


def test_a_channel_that_brings_nothing_new_is_silent(log: HonestLog) -> None:
    """A replay is no news: told once in each silence, and exit code 1; news end it."""

    def watched(*batches: list[Delivery], timeout_s: float) -> tuple[int, list[str]]:
        clock, lines, receiver = Hands(), Lines(), Receiver(keys=[log.vkey])
        silence = SilenceWatch(lambda: receiver.verified, 10)
        follower = Follower(receiver, ScriptedFeed(clock, batches), lines, clock, None, silence)
        return follower.run(timeout_s=timeout_s), [said for said in lines.said if said.startswith("silent")]

    first, news = [entries(log.message(0, 30, 30))], [entries(log.message(30, 60, 60))]
    replays = [first] * 60
    assert watched(first, *replays, timeout_s=9) == (EXIT_OK, [])
    assert watched(first, *replays, timeout_s=12) == (EXIT_NO, ["silent 30"])
    assert watched(first, *replays, news, timeout_s=20) == (EXIT_OK, ["silent 30"])
    assert watched(first, *replays, news, timeout_s=40) == (EXIT_NO, ["silent 30", "silent 60"])
    assert watched(timeout_s=12) == (EXIT_NO, ["silent 0"])
