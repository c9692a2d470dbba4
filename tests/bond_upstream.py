"""ew-link-bond's own storage and data classes, driven by JSON from standard input: a program for the peers' Python.

Its package imports web3 4 and more at the top, which the storage does not need: those names are empty here. The clock
is set by hand; all else is upstream's.
"""

from __future__ import annotations

import json
import sys
import types
from datetime import datetime, timedelta
from typing import Any

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  (bond knows no zones)


def upstream(folder: str) -> tuple[Any, Any]:
    """The modules of the storage and of the data classes."""
    sys.path.insert(0, folder)
    for name, names in {
        "web3": ("Web3", "HTTPProvider"),
        "web3.contract": ("ConciseContract",),
        "web3.utils": (),
        "web3.utils.filters": ("Filter",),
        "requests": (),
        "energyweb": (),
    }.items():
        module = types.ModuleType(name)
        module.__dict__.update(dict.fromkeys(names, object))
        module.__path__ = [f"{folder}/energyweb"] if name == "energyweb" else []
        sys.modules[name] = module
    import energyweb.smart_contract.origin_v1 as classes
    import energyweb.storage as storage

    return storage, classes


def main() -> None:
    asked = json.load(sys.stdin)
    storage, classes = upstream(sys.argv[1])
    if "joules" in asked:
        import energyweb.eds.interfaces as eds

        json.dump({"wh": eds.EnergyDevice.to_wh(asked["joules"], eds.EnergyUnit.JOULES)}, sys.stdout)
        return
    if asked["protocol"]:
        storage.pickle = types.SimpleNamespace(
            load=storage.pickle.load, dump=storage.pickle.dump, HIGHEST_PROTOCOL=asked["protocol"]
        )
    times: list[datetime] = []
    storage.datetime = types.SimpleNamespace(datetime=types.SimpleNamespace(now=lambda: times[-1]))
    chain = storage.OnDiskChain("origin.pkl", asked["store"])
    told = []
    for reading in asked["readings"]:
        times.append(EPOCH + timedelta(milliseconds=reading.pop("wall_ms")))
        if asked["reopen"]:
            chain = storage.OnDiskChain("origin.pkl", asked["store"])
        kind = classes.ProducedEnergy if "co2_saved" in reading else classes.ConsumedEnergy
        try:
            chain.add_to_chain(kind(previous_hash=chain.get_last_hash(), **reading))
            told.append(chain.get_last_hash())
        except RecursionError:
            told.append("RecursionError")
    files, link = [], chain.chain
    while link is not None:
        files.append([link.data.file, str(link.data.timestamp)])
        link = next(link)
    json.dump({"told": told, "last": chain.get_last_hash(), "files": files[::-1]}, sys.stdout)


main()
