"""Real chain nodes of their own for a test: anvil and ganache, on loopback and an own port, stopped by their pids.

London rules and chain id 246, as the Energy Web Chain has them, unless a test asks for others.
"""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any, Self

from gateway.durable import create_exclusively
from gateway.signing import Algorithm, KeyRequest, Purpose
from gateway.signing.evm import address
from tests.mosquitto import eventually
from tests.parts import free_port, missing, need, node_modules

CHAIN_ID = 246
WEI_PER_COIN = 10**18
STOP_S_MAX = 20.0


class NodeError(AssertionError):
    """What a node answered instead of a result."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(json.dumps(error))
        self.code = error.get("code")
        self.message = error.get("message", "")
        self.data = error.get("data")


class ChainNode:
    """One node. ``start`` returns when it answers; ``stop``, ``kill`` and ``start`` again keep port and URL."""

    #: The method that gives an account a balance.
    fund_method = ""
    #: Whether blocks come by themselves.
    mining = True

    def __init__(self, *, chain_id: int, hardfork: str, block_time_s: int | None, options: tuple[str, ...]) -> None:
        """With *block_time_s* None each transaction has a block at once. *options* are further ones of its own."""
        self.chain_id = chain_id
        self.hardfork = hardfork
        self.block_time_s = block_time_s
        self.options = options
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int | None:
        """The running process, if any."""
        return self._process.pid if self._process else None

    @property
    def head(self) -> int:
        """The number of the newest block."""
        return int(self.rpc("eth_blockNumber"), 16)

    @property
    def dev(self) -> str:
        """An unlocked account with coins."""
        return str(self.rpc("eth_accounts")[0])

    def start(self) -> None:
        """Starts it and waits until it answers."""
        assert self._process is None, "already running"
        quiet = subprocess.DEVNULL
        self._process = subprocess.Popen(self._command(), stdin=quiet, stdout=quiet, stderr=quiet)
        try:
            eventually(self._answers, what=f"an answer of {type(self).__name__} on port {self.port}")
        except AssertionError:
            self.kill()
            raise

    def stop(self) -> None:
        """Ends it cleanly."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: whatever it had not written is gone."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: it is there, takes connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Goes on after ``pause``."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def rpc(self, method: str, *params: Any) -> Any:
        """The result of one call. Raises NodeError with what the node says instead."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        connection = HTTPConnection("127.0.0.1", self.port, timeout=STOP_S_MAX)
        try:
            connection.request("POST", "/", body, {"Content-Type": "application/json"})
            answer = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in answer:
            raise NodeError(answer["error"])
        return answer["result"]

    def fund(self, account: str, wei: int = 100 * WEI_PER_COIN) -> None:
        """Gives *account* exactly that balance."""
        self.rpc(self.fund_method, account, hex(wei))

    def balance(self, account: str) -> int:
        """Wei."""
        return int(self.rpc("eth_getBalance", account, "latest"), 16)

    def nonce(self, account: str) -> int:
        """How many of its transactions are in blocks."""
        return int(self.rpc("eth_getTransactionCount", account, "latest"), 16)

    def receipt(self, transaction: bytes | str) -> dict[str, Any] | None:
        """As the node tells it."""
        name = transaction if isinstance(transaction, str) else "0x" + transaction.hex()
        found: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", name)
        return found

    def send(self, *, to: str | None = None, data: bytes = b"", value: int = 0, gas: int = 3_000_000) -> str:
        """A transaction of the unlocked account; returns its hash. Where blocks come at once it is in one by then."""
        call = {"from": self.dev, "data": "0x" + data.hex(), "value": hex(value), "gas": hex(gas)}
        transaction = str(self.rpc("eth_sendTransaction", call if to is None else call | {"to": to}))
        if self.block_time_s is None and self.mining:
            # anvil makes the block a moment after it has answered.
            eventually(lambda: self.receipt(transaction), what="the receipt")
        return transaction

    def _command(self) -> list[str]:
        raise AssertionError

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, f"{self._command()} ended with {self._process.returncode}"
        try:
            return int(self.rpc("eth_chainId"), 16) == self.chain_id
        except (OSError, HTTPException, ValueError):
            return False

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGCONT)
        process.send_signal(number)
        process.wait(timeout=STOP_S_MAX)


class Anvil(ChainNode):
    """Foundry's node: up in a tenth of a second, and blocks come when a test says so."""

    fund_method = "anvil_setBalance"

    def __init__(
        self,
        *,
        chain_id: int = CHAIN_ID,
        hardfork: str = "london",
        block_time_s: int | None = None,
        mining: bool = True,
        base_fee: int | None = None,
        genesis_s: int | None = None,
        state: Path | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        """Without *mining* blocks come only by ``mine``. *state* is a file to start from, where it exists.

        Two nodes with the same *genesis_s* (unix seconds) begin with the same block.
        """
        super().__init__(chain_id=chain_id, hardfork=hardfork, block_time_s=block_time_s, options=options)
        self.mining = mining
        self.base_fee = base_fee
        self.genesis_s = genesis_s
        self.state = state

    def save(self, path: Path) -> Path:
        """Writes blocks, receipts and accounts as they are now: something to ``restart`` from, or for a second node."""
        path.write_bytes(gzip.decompress(bytes.fromhex(self.rpc("anvil_dumpState")[2:])))
        return path

    def restart(self, state: Path | None = None) -> None:
        """SIGKILL, then on the same port from the file *state*, or from nothing: an older chain, or an empty one."""
        self.kill()
        self.state = state
        self.start()

    def mine(self, blocks: int = 1) -> None:
        """Makes that many blocks, pending transactions in the first."""
        self.rpc("anvil_mine", hex(blocks))

    def reorg(self, depth: int) -> None:
        """Replaces the newest *depth* blocks by as many without transactions."""
        before = self.rpc("eth_getBlockByNumber", "latest", False)["hash"]
        self.rpc("anvil_reorg", depth, [])
        assert self.rpc("eth_getBlockByNumber", "latest", False)["hash"] != before, "anvil replaced no block"

    def drop(self, transaction: bytes) -> None:
        """Takes a pending transaction out of the pool."""
        self.rpc("anvil_dropTransaction", "0x" + transaction.hex())

    def _command(self) -> list[str]:
        found = sorted((node_modules() / "@foundry-rs").glob("anvil-*/bin/anvil"))
        if not found:
            missing("anvil; sh tests/install-peers.sh installs it")
        command = [str(found[0]), "--host", "127.0.0.1", "--port", str(self.port), "--quiet", "--threads", "1"]
        command += ["--chain-id", str(self.chain_id), "--hardfork", self.hardfork, "--accounts", "2"]
        command += ["--block-time", str(self.block_time_s)] if self.block_time_s is not None else []
        command += [] if self.mining else ["--no-mining"]
        command += ["--base-fee", str(self.base_fee)] if self.base_fee is not None else []
        command += ["--timestamp", str(self.genesis_s)] if self.genesis_s is not None else []
        command += ["--load-state", str(self.state)] if self.state is not None and self.state.exists() else []
        return [*command, *self.options]


class Ganache(ChainNode):
    """The second node, of another maker: other messages, other shapes of a revert. Up in about a second."""

    fund_method = "evm_setAccountBalance"

    def __init__(
        self,
        *,
        chain_id: int = CHAIN_ID,
        hardfork: str = "london",
        block_time_s: int | None = None,
        options: tuple[str, ...] = (),
    ) -> None:
        super().__init__(chain_id=chain_id, hardfork=hardfork, block_time_s=block_time_s, options=options)

    def mine(self, blocks: int = 1) -> None:
        """Makes that many blocks."""
        for _ in range(blocks):
            self.rpc("evm_mine")

    def _command(self) -> list[str]:
        program = node_modules() / "ganache" / "dist" / "node" / "cli.js"
        command = [need("node"), str(program), "--server.host", "127.0.0.1", "--server.port", str(self.port)]
        command += ["--chain.chainId", str(self.chain_id), "--chain.networkId", str(self.chain_id)]
        command += ["--chain.hardfork", self.hardfork, "--logging.quiet", "--wallet.totalAccounts", "2"]
        command += ["--miner.blockTime", str(self.block_time_s)] if self.block_time_s is not None else []
        return [*command, *self.options]


def deploy(node: ChainNode, bytecode: bytes) -> str:
    """The address of a contract made by *bytecode* (arguments of its constructor at the end)."""
    transaction = node.send(data=bytecode)
    if isinstance(node, Anvil) and not node.mining:
        node.mine()
    receipts: list[dict[str, Any]] = []
    eventually(lambda: receipts.extend(filter(None, [node.receipt(transaction)])) or receipts, what="the receipt")
    assert receipts[0]["status"] == "0x1", f"the constructor reverted: {receipts[0]}"
    return str(receipts[0]["contractAddress"])


def funded_key(folder: Path, node: ChainNode, wei: int = 100 * WEI_PER_COIN, name: str = "account") -> tuple[str, str]:
    """A new ``file:`` key for transactions in *folder*, with that balance: its URI and its address (EIP-55)."""
    # Imported late: most users of the nodes make no key.
    from drivers.keys.file import create_file_key

    uri = f"file:{name}.pem"
    algorithm = Algorithm.ECDSA_SECP256K1
    wanted = KeyRequest(uri=uri, base=folder, purpose=Purpose.TRANSACTION, create=True, algorithm=algorithm)
    account = address(create_file_key(wanted, create_exclusively).public_key.data[-65:])
    node.fund(account, wei)
    return uri, account
