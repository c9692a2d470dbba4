// Reads OCMF records, one a line, and prints for each whether its signature is that of the key (SPKI DER, hex) named on
// the command line. Run it from the folder that holds node_modules: a module finds its packages from there.
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'

const require = createRequire(`${process.cwd()}/`)
const { Verifier } = require('@road-labs/ocmf')
const { Crypto } = require('@road-labs/ocmf-crypto-noble')

const crypto = new Crypto()
const key = await crypto.decodeEcPublicKey(new Uint8Array(Buffer.from(process.argv[2], 'hex')), 'spki-der')
const verifier = new Verifier(crypto)
for (const line of readFileSync(0, 'utf8').split('\n').slice(0, -1)) {
  try {
    const { verified } = await verifier.parseAndVerify(line, key)
    console.log(verified)
  } catch (error) {
    console.log(`refused: ${error.message}`)
  }
}
