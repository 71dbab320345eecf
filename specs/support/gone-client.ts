/** Reads by both block protocols, and says nothing: `node gone-client.ts HOST NBD-PORT ISCSI-PORT`. */
import { connectIscsi } from "../../adapters/iscsi/client.ts"
import { connectNbd } from "../../adapters/nbd/client.ts"

const [host = "", nbdPort, iscsiPort] = process.argv.slice(2)
const nbd = await connectNbd({ host, port: Number(nbdPort), export: "client/PC-001/0" })
const target = "iqn.2026-11.io.imagelink:pc-001"
const iscsi = await connectIscsi({ host, port: Number(iscsiPort), target })
await Promise.all([nbd.read(0, 4096), iscsi.read(4096, 4096)])
