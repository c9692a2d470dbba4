"""``--policy FILE`` of the commands that verify: in place of --vkey and --quorum, and what the witnesses said."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.errors import ConfigError
from gateway.log.vkey import VerifierKey
from gateway.show import rfc3339

if TYPE_CHECKING:
    from gateway.log.policy import Policy
    from gateway.log.witnessing import Witnessed


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """What the verifier brought along."""

    keys: Sequence[VerifierKey]
    quorum: int | None
    policy: Policy | None


def add_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--policy`` to a command that has ``--vkey``, and maybe ``--quorum``."""
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="keys, witnesses and quorum, in place of --vkey (docs/witness.md); a quorum not met is exit code 1",
    )


def trust(args: argparse.Namespace) -> Trust:
    """The keys given, or those of the policy file. Raises ConfigError, MalformedError."""
    quorum = getattr(args, "quorum", None)
    if args.policy is None:
        return Trust(keys=[VerifierKey.parse(text) for text in args.vkey or ()], quorum=quorum, policy=None)
    if args.vkey or quorum is not None:
        raise ConfigError("--policy names the keys and how many must have signed; leave out --vkey and --quorum")
    # Imported late: most checks are made without a policy.
    from gateway.log.policy import load_policy

    policy = load_policy(args.policy)
    return Trust(keys=policy.keys, quorum=policy.key_quorum, policy=policy)


def now_s() -> int:
    """The verifier's clock, seconds since 1970: what the age of a cosignature is measured by."""
    return int(time.time())


def witnessed_object(witnessed: Witnessed | None) -> dict[str, Any] | None:
    """The JSON object ``witnessed`` of a report; None without a policy."""
    if witnessed is None:
        return None
    return {
        "ok": witnessed.met,
        "size": witnessed.size,
        "time": None if witnessed.time_s is None else rfc3339(witnessed.time_s * 1000),
        "unwitnessed": witnessed.unwitnessed,
        "reason": witnessed.reason or None,
        "witnesses": [
            {"name": name, "size": size, "time": rfc3339(time_s * 1000)} for name, size, time_s in witnessed.said
        ],
    }


def witnessed_text(witnessed: Witnessed) -> str:
    """One line for people."""
    if not witnessed.met:
        return f"not witnessed as the policy demands: {witnessed.reason}"
    if witnessed.time_s is None:
        return "the policy demands no witness"
    rest = f"; the last {witnessed.unwitnessed} are not witnessed yet" if witnessed.unwitnessed else ""
    return f"witnessed: entries below {witnessed.size}, last at {rfc3339(witnessed.time_s * 1000)}{rest}"
