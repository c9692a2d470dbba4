"""``status``: what a running gateway is doing. Exit code 0 when all is well, 1 when something needs a look."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway import status
from gateway.errors import EXIT_NO, EXIT_OK
from gateway.show import rfc3339

if TYPE_CHECKING:
    from gateway.app import App

#: Longer words of a key are hashes and addresses: so much of them is shown.
_WORD, _SHOWN = 24, 10


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("status", help="what the running gateway is doing", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(args: argparse.Namespace, app: App) -> int:
    """Asks the gateway that runs on this config's state directory."""
    answer = status.ask(app.load(Path(args.config)).state_dir)
    troubles = _troubles(answer)
    if args.json:
        print(json.dumps({**answer, "healthy": not troubles, "troubles": troubles}))
    else:
        print("\n".join(_lines(answer)))
        for trouble in troubles:
            print(f"! {trouble}")
    return EXIT_NO if troubles else EXIT_OK


def _troubles(answer: dict[str, Any]) -> list[str]:
    found = [*answer["log"]["troubles"].values()]
    found += [f"meter {meter['name']}: {meter['error']}" for meter in answer["meters"] if meter["error"]]
    found += [
        f"channel {sink['name']}: {sink['last_error'] or sink['state']}"
        for sink in answer["sinks"]
        if sink["state"] != "connected"
    ]
    found += [
        f"witness {witness['name']}: {witness['error']}" for witness in answer.get("witnesses", []) if witness["error"]
    ]
    for chain in answer.get("chains", []):
        found += [f"chain {chain['name']}: {chain['last_error']}"] if chain["last_error"] else []
        found += [f"chain {chain['name']}: {job['name']}: {job['trouble']}" for job in chain["jobs"] if job["trouble"]]
    found += [f"no progress: {name}" for name in answer["process"]["stuck"]]
    if answer["key"]["error"]:
        found.append(f"key: {answer['key']['error']}")
    if (counter := answer["key"].get("counter")) and counter["error"]:
        found.append(f"counter: {counter['error']}")
    return found


def _lines(answer: dict[str, Any]) -> list[str]:
    log, checkpoint, disk = answer["log"], answer["checkpoint"], answer["disk"]
    clock, process = answer["clock"], answer["process"]
    window = f"a power cut costs at most {log['commit_ms'] / 1000:g} s or {log['commit_entries']} entries"
    bound = "no bound" if clock["error_ms"] < 0 else f"within {clock['error_ms']} ms"
    return [
        f"log        {answer['origin']}: {log['size']} entries, {log['durable_size']} durable ({window})",
        f"checkpoint size {checkpoint['size']}, {checkpoint['unsigned']} entries not signed yet",
        *_key(answer["key"]),
        *map(_meter, answer["meters"]),
        *map(_sink, answer["sinks"]),
        # A gateway of an earlier version may be running still.
        *map(_witness, answer.get("witnesses", [])),
        *map(_chain, answer.get("chains", [])),
        f"clock      {when(clock['wall_ms'])}, quality {clock['quality']}, {bound}",
        f"disk       {disk['free_bytes'] >> 20} MB free of {disk['total_bytes'] >> 20} MB",
        f"process    {process['pid']}, {process['rss_bytes'] / 1e6:.1f} MB of memory",
    ]


def _key(key: dict[str, Any]) -> list[str]:
    # A gateway of an earlier version may be running still.
    lines = [f"key        {key['uri']}" + (f": {key['state']}" if "state" in key else "")]
    if key.get("hardware"):
        lines.append(f"           and in hardware {key['hardware']}")
    if key.get("counter"):
        lines.append(f"counter    {key['counter']['name']} stands at {key['counter']['value']}")
    return lines


def _meter(meter: dict[str, Any]) -> str:
    last = f"last entry {meter['last_seq']} at {when(meter['last_wall_ms'])}"
    missed = f"{meter['missed']} of {meter['polls']} polls missed"
    return f"meter      {meter['name']} ({meter['model']}): {meter['state']}, {last}, {missed}"


def _sink(sink: dict[str, Any]) -> str:
    confirmed = f"confirmed up to entry {sink['acked_seq']}, {sink['backlog']} waiting"
    return f"channel    {sink['name']}: {sink['state']}, {confirmed}"


def _witness(witness: dict[str, Any]) -> str:
    cosigned = f"cosigned up to size {witness['size']} at {when(witness['cosigned_ms'])}"
    return f"witness    {witness['name']}: {witness['state']}, {cosigned}"


def _chain(chain: dict[str, Any]) -> str:
    last, under_way = chain["last"], chain["under_way"]
    said = f"last {short(last['key'])}: {last['outcome']}" if last else "nothing said yet"
    waits = f", under way {short(under_way['key'])}" if under_way else ""
    return f"chain      {chain['name']} (id {chain['chain_id']}): {chain['state']}, {said}{waits}"


def short(key: str) -> str:
    """The key of what is said on a chain, without the digits that nobody reads."""
    return " ".join(word if len(word) <= _WORD else f"{word[:_SHOWN]}…" for word in key.split())


def when(wall_ms: int | None) -> str:
    """RFC 3339 text; ``never`` for None."""
    return "never" if wall_ms is None else rfc3339(wall_ms)
