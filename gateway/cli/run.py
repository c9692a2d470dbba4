"""``run``: the gateway; what the systemd unit starts. SIGTERM and Ctrl-C stop it cleanly, SIGHUP reloads the config."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gateway import memory
from gateway.errors import EXIT_OK
from gateway.service import Gateway

if TYPE_CHECKING:
    from gateway.app import App

_log = logging.getLogger(__name__)
#: How often ``--watch`` looks for new readings, in seconds.
_WATCH_S = 0.5


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Adds the command to the command line."""
    parser = subparsers.add_parser("run", help="run the gateway", description=__doc__)
    parser.add_argument(
        "--watch",
        action="store_true",
        help="also start the far side of each directory channel, which verifies and shows what arrives",
    )


def run(args: argparse.Namespace, app: App) -> int:
    """Runs until it is stopped; exit code 0 after a clean stop."""
    memory.share_heap()
    config = app.load(Path(args.config))
    for warning in config.warnings:
        _log.warning("%s", warning.text(str(config.path)))
    gateway = Gateway(config, app, app.keeper(config), app.counter(config))
    asyncio.run(_run(gateway, watch=args.watch))
    return EXIT_OK


async def _run(gateway: Gateway, *, watch: bool) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, gateway.stopping.set)
    loop.add_signal_handler(signal.SIGHUP, gateway.reload_wanted.set)
    followers = [loop.create_task(_follow(gateway))] if watch else []
    try:
        await gateway.run()
    finally:
        for task in followers:
            task.cancel()
        await asyncio.gather(*followers, return_exceptions=True)


async def _follow(gateway: Gateway) -> None:
    """Starts the far side of each directory channel as processes of their own, which know only the public key."""
    await gateway.started.wait()
    config = gateway.config
    _log.info("log %s in %s", config.origin, config.state_dir / "log")
    far_sides = []
    for channel in config.channels:
        if channel.directory is not None:
            _log.info("far side of channel %s: verifies %s with the public key only", channel.name, channel.directory)
            command = ["channel", "follow", str(channel.directory), "--show"]
            for vkey in gateway.vkeys():
                command += ["--vkey", vkey]
            # A process group of its own: Ctrl-C is the gateway's, which ends this one when all is delivered.
            far_sides.append(
                await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway", *command, start_new_session=True)
            )
    try:
        await asyncio.gather(*(process.wait() for process in far_sides))
    finally:
        await asyncio.sleep(_WATCH_S)
        for process in far_sides:
            if process.returncode is None:
                process.terminate()
                await process.wait()
