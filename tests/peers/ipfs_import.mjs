// Prints the CIDs that the IPFS importer gives each file named on the command line: raw leaves, then UnixFS leaves.
// Run it from the folder that holds node_modules: a module finds its packages from there.
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { pathToFileURL } from 'node:url'

const require = createRequire(`${process.cwd()}/`)
const { importBytes } = await import(pathToFileURL(require.resolve('ipfs-unixfs-importer')))
const blocks = { put: async (cid) => cid }

for (const name of process.argv.slice(2)) {
  const bytes = readFileSync(name)
  const raw = await importBytes(bytes, blocks, { rawLeaves: true, cidVersion: 1 })
  const wrapped = await importBytes(bytes, blocks, { rawLeaves: false, cidVersion: 1 })
  console.log(`${raw.cid} ${wrapped.cid}`)
}
