"""What the running gateway calls where there may be fields; behind it nothing is loaded unless there are some."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gateway.config.model import Config
from gateway.errors import TamperError, UnavailableError
from gateway.history import last_values
from gateway.log.entry import ALARM
from gateway.reading import Clock, Scaled
from gateway.task import Progress
from gateway.writer import Writer

if TYPE_CHECKING:
    from gateway.fields.reader import FieldReader

#: In the state directory; see ``gateway.fields.files``.
_DIRECTORY = "fields"


def settle(state_dir: Path) -> None:
    """Before the log is opened: see ``gateway.fields.store.settle``."""
    if (state_dir / _DIRECTORY).is_dir():
        from gateway.fields.store import settle

        settle(state_dir)


def begin(
    config: Config, writer: Writer, clock: Clock, days: Callable[[], int]
) -> Callable[[Progress], Awaitable[None]] | None:
    """Lets the writer conceal readings, once it is needed; returns the task that erases fields, to be started."""
    wanted = any(meter.conceal for meter in config.meters) or (config.state_dir / _DIRECTORY).is_dir()
    if writer.fields is not None or not wanted:
        return None
    from gateway.fields.keeper import begin

    return begin(config.state_dir, writer, clock, days).run


def remembered(state_dir: Path, writer: Writer) -> dict[str, dict[str, Scaled]]:
    """The newest values by meter and point; none, with an alarm, where the log cannot tell them."""
    try:
        return last_values(writer.log, reader(state_dir, writer))
    except (TamperError, UnavailableError) as error:
        writer.event("log-changed", ALARM, writer.log.origin, str(error))
        return {}


def reader(state_dir: Path, writer: Writer) -> FieldReader | None:
    """Finds the fields of the writer's log; None where there are none."""
    if writer.fields is None:
        return None
    from gateway.fields.reader import FieldReader

    return FieldReader.of_log(state_dir / "log", writer.log.origin)
