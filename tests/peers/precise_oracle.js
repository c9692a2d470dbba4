// Answers questions about precise proofs with the library that defines them: one JSON text a line in, one out.
// Run it with NODE_PATH set to the folder of the packages. What the library throws comes back as {"thrown": text}.
//
//   {"build": {"array": [value, …]} or {"object": [[key, value], …]}, "salts": [text, …]}
//       → {"leaves", "root", "extended", "proofs": {key: proof}, "extendedProofs": {key: proof}}
//   {"verify": proof, "root": hash, "schema": [key, …] or null} → {"valid": true or false}
//   {"hash": [text, …]} → {"hash": hash}
//
// A value is {"json": anything} or {"big": decimal text}, which becomes a BigNumber.
const { BigNumber } = require('ethers')
const { PreciseProofs } = require('precise-proofs-js')
const { createInterface } = require('node:readline')

const value = (given) => ('big' in given ? BigNumber.from(given.big) : given.json)

const record = (given) =>
  'array' in given ? given.array.map(value) : Object.fromEntries(given.object.map(([key, item]) => [key, value(item)]))

function build({ build: given, salts }) {
  const leaves = PreciseProofs.createLeafs(record(given), salts)
  const keys = leaves.map((leaf) => leaf.key)
  const root = PreciseProofs.getRootHash(PreciseProofs.createMerkleTree(leaves.map((leaf) => leaf.hash)))
  const proofs = (extended) =>
    Object.fromEntries(keys.map((key) => [key, PreciseProofs.createProof(key, [...leaves], extended)]))
  return {
    leaves,
    root,
    extended: PreciseProofs.createExtendedTreeRootHash(root, [...keys]),
    proofs: proofs(false),
    extendedProofs: proofs(true)
  }
}

function answer(asked) {
  if ('build' in asked) return build(asked)
  if ('hash' in asked) return { hash: PreciseProofs.hash(...asked.hash) }
  return { valid: PreciseProofs.verifyProof(asked.root, asked.verify, asked.schema ?? undefined) }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  let found
  try {
    found = answer(JSON.parse(line))
  } catch (error) {
    found = { thrown: String(error.message) }
  }
  process.stdout.write(JSON.stringify(found) + '\n')
})
