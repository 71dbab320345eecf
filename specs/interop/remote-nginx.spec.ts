/** Images behind nginx, as it serves any folder: plainly, behind a password, over TLS, and over a link with faults. */
import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { openImageFile } from "../../core/storage/open-image.ts"
import { PluginRegistry } from "../../core/storage/registry.ts"
import qcow2 from "../../plugins/formats/qcow2/index.ts"
import raw from "../../plugins/formats/raw/index.ts"
import { systemClock } from "../../plugins/remote/clock.ts"
import remote, { remotePlugin } from "../../plugins/remote/index.ts"
import { randomFrom } from "../conformance/support/bytes.ts"
import { type Daemon, startNginx } from "../support/daemon.ts"
import { linkProxy } from "../support/link-proxy.ts"
import { noise, run } from "../support/nbd-server.ts"
import { bytesAt, openRemoteVolume, refusalOf } from "../support/remote.ts"
import { requires } from "../support/requires.ts"

const nginx = requires("nginx", "nginx-light")
const openssl = requires("openssl", "openssl")
const qemuImg = requires("qemu-img", "qemu-utils")
const MiB = 1024 * 1024

describe.skipIf(nginx.skip)("nginx", () => {
  let folder: string
  let root: string
  let served: Daemon
  let made = 0
  const bytes = noise(8 * MiB, 3)
  const url = (name: string, port = served.port) => `http://127.0.0.1:${port}/${name}`
  const put = async (name: string, content: Uint8Array) => {
    await fs.mkdir(join(root, name, ".."), { recursive: true })
    await fs.writeFile(join(root, name), content)
    return url(name)
  }
  beforeAll(async () => {
    folder = await fs.mkdtemp(join(tmpdir(), "imagelink-nginx-"))
    root = join(folder, "root")
    await fs.mkdir(root)
    await fs.writeFile(join(folder, "users"), "reader:{PLAIN}open sesame\n")
    const server = `
      location /whole/ { max_ranges 0; }
      location /weak/ { etag off; }
      location /private/ { auth_basic "images"; auth_basic_user_file ${folder}/users; }
      location /moved/ { return 302 /; }
      location /old.raw { return 301 /disk.raw; }`
    served = await startNginx(join(folder, "server"), root, { server })
    await put("disk.raw", bytes)
  })
  afterAll(async () => {
    await served?.stop()
    await fs.rm(folder, { recursive: true, force: true })
  })

  storagePluginSuite(
    { describe, it },
    {
      plugin: remote,
      async sample() {
        const content = sampleBytes(200_001)
        const name = `sample-${made++}.raw`
        return { config: { url: await put(name, content), cache: join(folder, "cache") }, bytes: content }
      },
    },
  )

  it("serves every byte, through a redirect too", async () => {
    for (const name of ["disk.raw", "old.raw"]) {
      const volume = await openRemoteVolume({ url: url(name) })
      expect(Buffer.compare(await bytesAt(volume, 0, bytes.length), bytes)).toBe(0)
      await volume.close()
    }
  })

  it("is refused where it ignores ranges, and known by the time of change where it has no ETag", async () => {
    expect(await refusalOf(openRemoteVolume({ url: await put("whole/disk.raw", bytes) }))).toContain("ignores Range")
    const weak = await put("weak/disk.raw", bytes)
    await fs.utimes(join(root, "weak/disk.raw"), 1_700_000_000, 1_700_000_000)
    const volume = await openRemoteVolume({ url: weak })
    expect(await volume.identity()).toEqual({ lastModified: "Tue, 14 Nov 2023 22:13:20 GMT", sizeBytes: "8388608" })
    await fs.utimes(join(root, "weak/disk.raw"), 1_700_000_100, 1_700_000_100)
    expect(await refusalOf(bytesAt(volume, 0, 512))).toContain(
      "its Last-Modified was Tue, 14 Nov 2023 22:13:20 GMT and is",
    )
    await volume.close()
  })

  it("is caught when its file is replaced", async () => {
    const at = await put("replaced.raw", bytes.subarray(0, MiB))
    const volume = await openRemoteVolume({ url: at })
    await put("replaced.raw", bytes.subarray(MiB, 2 * MiB + 512))
    expect(await refusalOf(bytesAt(volume, 0, 512))).toContain("REMOTE_CHANGED")
    await volume.close()
  })

  it("asks for a password, and gets it from where it is kept", async () => {
    const at = await put("private/disk.raw", bytes)
    expect(await refusalOf(openRemoteVolume({ url: at }))).toContain("its server answers 401")
    const plugin = remotePlugin({ clock: systemClock, env: { LAB: "reader:open sesame" } })
    const volume = await openRemoteVolume({ url: at, credentials: "env:LAB" }, { plugin })
    expect(Buffer.compare(await bytesAt(volume, MiB, 512), bytes.subarray(MiB, MiB + 512))).toBe(0)
    await volume.close()
  })

  it("serves the right bytes over a link that resets, cuts and stalls", async () => {
    for (const seed of [1, 2]) {
      const random = randomFrom(seed)
      const kinds = ["reset", "cut", "stall"] as const
      const fault = () => (random() < 0.04 ? kinds[Math.floor(random() * 3)] : undefined)
      const link = await linkProxy({ port: served.port, roundTripMillis: 2, fault })
      const volume = await openRemoteVolume({ url: url("disk.raw", link.port), readMillis: 60_000 })
      for (let i = 0; i < 40; i++) {
        const offset = Math.floor(random() * (bytes.length - 300_000))
        const got = await bytesAt(volume, offset, 300_000)
        expect(Buffer.compare(got, bytes.subarray(offset, offset + 300_000)), `seed ${seed}, at ${offset}`).toBe(0)
      }
      await volume.close()
      await link.close()
    }
  })

  it.skipIf(openssl.skip)(
    "is not trusted over TLS with a certificate of nobody's, and is with one of a known authority",
    async () => {
      const [key, certificate] = [join(folder, "key.pem"), join(folder, "certificate.pem")]
      const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
      await run(
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-keyout",
        key,
        "-out",
        certificate,
        ...subject,
      )
      const secure = await startNginx(join(folder, "secure"), root, { tls: { certificate, key } })
      const at = `https://localhost:${secure.port}/disk.raw`
      expect(await refusalOf(openRemoteVolume({ url: at }))).toMatch(
        /its certificate is not trusted \(DEPTH_ZERO_SELF_SIGNED_CERT\)$/,
      )
      const script = join(folder, "read.mts")
      const support = join(import.meta.dirname, "../support/remote.ts")
      await fs.writeFile(
        script,
        `import { bytesAt, openRemoteVolume } from ${JSON.stringify(support)}
const volume = await openRemoteVolume({ url: ${JSON.stringify(at)} })
process.stdout.write((await bytesAt(volume, 100, 16)).toString("hex"))
await volume.close()
`,
      )
      const said = await run(
        "env",
        `NODE_EXTRA_CA_CERTS=${certificate}`,
        process.execPath,
        "--conditions=source",
        script,
      )
      expect(said).toBe(bytes.toString("hex", 100, 116))
      await secure.stop()
    },
  )

  it.skipIf(qemuImg.skip)("serves a qcow2 image and the file below it, each found beside the other", async () => {
    const lab = join(root, "lab 1")
    await fs.mkdir(lab)
    await fs.writeFile(join(lab, "base.raw"), bytes)
    const chain = ["create", "-q", "-f", "qcow2", "-F", "raw", "-b", "base.raw", join(lab, "win 11.qcow2"), "16M"]
    await run("qemu-img", ...chain)
    const plugins = new PluginRegistry().add(remote, "plugins/remote")
    const opened = await openImageFile({
      location: { kind: "remote", config: { url: url("lab%201/win%2011.qcow2") } },
      plugins,
      formats: [raw, qcow2],
      host: {},
      signal: new AbortController().signal,
    })
    expect([opened.format, opened.sizeBytes]).toEqual(["qcow2", 16 * MiB])
    expect(opened.files.map((file) => file.path)).toEqual([url("lab%201/win%2011.qcow2"), url("lab%201/base.raw")])
    expect(Buffer.compare(await bytesAt(opened.disk, 0, 8 * MiB), bytes)).toBe(0)
    expect((await bytesAt(opened.disk, 8 * MiB, MiB)).every((byte) => byte === 0)).toBe(true)
    await opened.disk.close()
  })
})
