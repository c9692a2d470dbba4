// js-ipfs, offline, with its own HTTP API: node ipfs_server.mjs SOCKET REPO. It listens on a Unix socket only, so that
// it can run in a network namespace without any network. Run it from the folder that holds node_modules.
import { pathToFileURL } from 'node:url'

// js-ipfs is from before Node.js 22, and one of what it needs is from after.
Promise.withResolvers ??= function () {
  const made = {}
  made.promise = new this((resolve, reject) => Object.assign(made, { resolve, reject }))
  return made
}
const load = (path) => import(pathToFileURL(`${process.cwd()}/node_modules/${path}`))
const { create } = await load('ipfs-core/src/index.js')
const { HttpApi } = await load('ipfs-http-server/src/index.js')

const [socket, repo] = process.argv.slice(2)
const ipfs = await create({
  repo,
  offline: true,
  silent: true,
  config: { Addresses: { Swarm: [], Delegates: [] }, Bootstrap: [] }
})
// What HttpApi.start() does for each address of the config; but there a Unix socket cannot be written.
const server = await new HttpApi(ipfs)._createApiServer(undefined, socket, ipfs, { origin: [] })
await server.start()
console.log('ready')
