"""What ``chain ACTION --help`` says."""

from __future__ import annotations

DEPLOY = """Puts the anchor contract on a chain and prints its address for the config; interrupted, it goes on where it
was when it is run again.

  meter-gateway key new --purpose transaction file:account.pem     (an account; give its address some coins)
  meter-gateway chain deploy --rpc URL --chain-id 246 --account file:account.pem

--json prints contract, transaction, block, gas_used, gas_price_wei and cost (coins).
Exit codes: 0 done; 1 it was not made; 2 the request is wrong; 3 a node, the coins or the key is away, or the gateway
runs.
"""

ANCHOR = """Anchors the newest checkpoint now, and waits until that counts. A running gateway does it by itself, and
keeps its ledger to itself: stop it first.

--json prints anchored, and size, transaction, block, gas_used, gas_price_wei and cost, or the reason.
Exit codes: 0 anchored, or the chain has it already; 1 it was reverted; 2 the request is wrong; 3 a node, the coins or
the key is away, or the gateway runs.
"""

AUDIT = """Compares what the chain says of the log with the log itself, and says the first difference of each subject
that the config has on that chain:

  anchors    each size that was anchored has the root that the log has there, and the bundles on the board say the same
  origin     each total that the asset registry was told is that of an entry of the log, and none was left out
  notary     each root is that of a batch on the board, each batch on the board is there, each reading of a batch is
             what its entry says, and no good reading is left out

Blocks count that lie as deep as the chain's confirmations. What was pruned cannot be compared, is counted, and is no
difference. Nothing is sent, and the gateway may run.

A stranger with a copy of the log, and no config, audits its anchors:

  meter-gateway chain audit --log DIR --rpc URL --chain-id 246 --contract ADDRESS --founder ADDRESS

With a config, --log DIR compares with a copy; for a Notary, DIR is a copy of the whole state directory. An asset that
another board reported before, or a key that was another one: --from leaves out what came before that block.

--json prints one object: ok (all subjects agree), origin, log_size, last_block, subjects; and of the anchors founder,
anchors, agreeing, size_max, first_difference, findings, findings_more (without anchors, first_difference is that of
the first subject that has one). Each of subjects has subject (anchor, origin, notary), name, contract, ok, error,
tampered, events, agreeing, pruned, first_difference (kind, text, block, transaction), and what is its own.

Exit codes: 0 all agree; 1 a difference, or of some subject nothing is there; 2 the request is wrong; 3 a node, the
key or the disk is away; 4 evidence of tampering. With several, the highest. One that could not be compared says so,
and the others are told.
"""

STATUS = """Shows, asked of the chain now: the account and its coins, end points, what is under way and what was said
last, the newest anchor, of each asset registry the total that it holds beside the log's, of each Notary the newest
batch. Where the gateway runs, also how it is getting on.

--json prints one object: name, chain_id, account, head, balance, gas_price_wei, year_of_hourly_anchors, under_way,
last, anchor (size, block, log_size), subjects (subject, name, trouble; origin: held_wh, log_wh, log_seq; notary:
batches, last_seq, transaction, block), gateway (state, last_error, jobs, sessions; null where none runs), endpoints,
troubles.

Exit codes: 0 all is well; 1 something needs a look; 2 the request is wrong; 3 the key is away.
"""

PROVE = """Writes the proof of the reading in entry SEQ under the root that a Notary was told, for somebody who has
nothing else. It is checked before it is written. The entry itself is proved by log prove.

The file is JSON: version, device, batch (sequence, readings), root, chain_id, contract, operator, transaction, block,
reading (timestamp in unix seconds, value in Wh), proof, link. proof and link are as npm precise-proofs-js makes and
takes them: verifyProof(root, proof). link shows device and number of the batch under the same root; a first batch has
none.

--json tells about the file: file, seq, device, batch, index, root, transaction, block, bytes.
Exit codes: 0 written; 2 the reading is in no batch, or the request is wrong; 3 it is in none yet, or its root is not
known to be stored yet; 4 the batch was changed.
"""

CHECK = """Checks a file that chain prove wrote, offline: the reading is what the proof is of, and the proof leads to
the root; the same of the link, and with it of the device. No config is needed, and no gateway.

With --rpc and --chain-id it also asks the chain whether that contract emitted that root for that operator, in that
transaction and block, deep enough (12 blocks, or --confirmations); then the time of the block is told, too: the
reading existed by then. Anybody may tell a Notary anything, so what counts is who the operator is: --operator and
--contract demand the ones that you were told.

--json prints ok, device, device_proved, reading (timestamp, value, time), batch (sequence, readings, index), root,
chain_id, contract, operator, transaction, block, on_chain, block_time; or ok false and reason.
Exit codes: 0 it holds; 1 the chain does not say so, or the file is of another contract, operator or chain; 2 the file
is no such proof, or the request is wrong; 3 no node answers, or the block is not deep enough yet; 4 it does not hold:
a value, a hash or the root was changed.
"""

ENROL = """Prints what must be sent so that this gateway may report to the asset registry of an origin item in the
config: each call with its address, its data in hex, and what it does, in the order in which they are sent. Who sends
them is an asset admin of the registry, from any wallet; nothing is sent from here, and no node is asked but for a
look-up's registry.

  meter-gateway chain enrol --owner ADDRESS --capacity-wh 9800

With --account URI, the key of that asset admin, the calls are sent from here, one after the other, each once it
counts. Interrupted, it goes on where it was when it is run again. The gateway may run meanwhile, unless that is its
own account. The number of the new asset is told for the config.

--takeover (release a) is for a board that takes an asset over from another one.

--json prints sent, release, role, contract, asset, smart_meter, owner, needs (who must have which role), steps (step,
to, data, words; or step, transaction, gas_used).
Exit codes: 0 printed or enrolled; 1 the registry refused a step; 2 the request is wrong; 3 a node, the coins or a key
is away, or another one is at work.
"""
