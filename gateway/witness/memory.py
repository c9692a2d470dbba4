"""What witnesses have seen of this gateway's log, as far as a start must know it.

A witness that has cosigned more than the disk holds shows that the disk was rolled back: by a restored copy, or a card
that lied about what it had stored. That log can never be extended honestly, so the size is remembered in the state
file, and the next start takes it for a size that was signed (``gateway.log.recovery`` then begins an epoch).
"""

from __future__ import annotations

from gateway.state import State

_TABLE = "witnessed"


def size_seen(state: State, origin: str) -> int:
    """The largest size that a witness claimed to have cosigned of *origin* when the log had less; 0 for none."""
    size = state.get(_TABLE, origin)
    return size if type(size) is int and size > 0 else 0


def remember_size(state: State, origin: str, size: int) -> None:
    """Durable on return. Raises UnavailableError."""
    if size > size_seen(state, origin):
        state.set(_TABLE, origin, size)
