"""Compact JSON in which numbers keep their digits: a ``Scaled`` is written as its exact decimal text, never a float.

Everything but ASCII is escaped, and so is the pipe character, which OCMF keeps for itself.
"""

from __future__ import annotations

import json
from typing import Any

from gateway.reading import Scaled


def compact(value: Any) -> str:
    """The JSON text, without spaces and line breaks. Raises TypeError for a float and whatever JSON has no form for."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{compact(name)}:{compact(item)}" for name, item in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(map(compact, value)) + "]"
    if isinstance(value, Scaled):
        return str(value)
    if isinstance(value, float):
        raise TypeError(f"{value!r} is a float; give a Scaled")
    return json.dumps(value).replace("|", "\\u007c")
