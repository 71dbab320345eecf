import * as fs from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { sampleBytes, storagePluginSuite } from "imagelink/conformance/storage-plugin"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { systemClock } from "../../../plugins/remote/clock.ts"
import { remotePlugin } from "../../../plugins/remote/index.ts"
import { s3Address } from "../../../plugins/remote/s3/address.ts"
import { parseKey } from "../../../plugins/remote/s3/sign.ts"
import { run } from "../../support/nbd-server.ts"
import { bytesAt, openRemoteVolume, refusalOf } from "../../support/remote.ts"
import { requires } from "../../support/requires.ts"
import { type S3Server, s3Server, signatureOf } from "../../support/s3-server.ts"

const curl = requires("curl", "curl")
const key = { accessKeyId: "AKIDEXAMPLE", secretAccessKey: "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY" }
const env = { AWS_ACCESS_KEY_ID: key.accessKeyId, AWS_SECRET_ACCESS_KEY: key.secretAccessKey }
const plugin = remotePlugin({ clock: systemClock, env })
let server: S3Server
let folder: string
let made = 0

beforeAll(async () => {
  server = await s3Server({ bucket: "images", region: "eu-central-1", ...key })
  folder = await fs.mkdtemp(join(tmpdir(), "imagelink-s3-"))
})
afterAll(async () => {
  await server.close()
  await fs.rm(folder, { recursive: true, force: true })
})

const put = (name: string, bytes: Uint8Array, etag = `"${encodeURIComponent(name)}-1"`) => {
  server.objects.set(name, { bytes, etag })
  return { url: `s3://images/${encodeURI(name)}`, endpoint: server.endpoint, region: "eu-central-1" }
}

storagePluginSuite(
  { describe, it },
  {
    plugin,
    async sample() {
      const bytes = sampleBytes(200_001)
      return { config: put(`lab/disk-${made++}.raw`, bytes), bytes }
    },
    refused: [
      { url: "s3://images" },
      { url: "s3://images/" },
      { url: "s3://im/disk.raw" },
      { url: "s3://images:80/disk.raw" },
      { url: "s3://images/disk.raw?versionId=7" },
      { url: "s3://images/disk%.raw" },
      { url: "s3://KEY:SECRET@images/disk.raw" },
      { url: "s3://images/disk.raw", endpoint: "objects.example.org" },
      { url: "s3://images/disk.raw", endpoint: "https://key:secret@objects.example.org" },
      { url: "s3://images/disk.raw", region: "Frankfurt am Main" },
      { url: "https://images/disk.raw", region: "eu-central-1" },
    ],
  },
)

describe("the server of these specs", () => {
  it("computes the signature of the published example", () => {
    const headers = {
      host: "examplebucket.s3.amazonaws.com",
      range: "bytes=0-9",
      "x-amz-content-sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
      "x-amz-date": "20130524T000000Z",
      authorization: `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature=${"0".repeat(64)}`,
    }
    const request = { method: "GET", target: "/test.txt", headers }
    expect(signatureOf(request, "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")).toBe(
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    )
  })

  it.skipIf(curl.skip)("takes what curl signs, and nothing that is signed with another secret", async () => {
    put("curl.raw", Buffer.from("what curl reads"))
    const get = (secret: string) =>
      run(
        "curl",
        ...["-s", "-r", "5-8", "--aws-sigv4", "aws:amz:eu-central-1:s3", "--user", `${key.accessKeyId}:${secret}`],
        ...["-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", `${server.endpoint}/images/curl.raw`],
      )
    expect(await get(key.secretAccessKey)).toBe("curl")
    expect(await get("another")).toContain("SignatureDoesNotMatch")
  })
})

it("reads an object whose name needs escapes, signed anew for each range", async () => {
  const bytes = sampleBytes(3_000_000)
  const config = { ...put("lab 1/disk+a(1)'*!.raw", bytes), cache: join(folder, "escapes") }
  const volume = await openRemoteVolume(config, { plugin })
  expect(Buffer.compare(await bytesAt(volume, 0, bytes.length), bytes)).toBe(0)
  expect(server.requests.filter((line) => line.includes("disk%2Ba")).length).toBe(4)
  await volume.close()
})

it("says that the object was changed when If-Match does not hold", async () => {
  const config = put("changing.raw", sampleBytes(300_000))
  const volume = await openRemoteVolume(config, { plugin })
  put("changing.raw", sampleBytes(300_000, { seed: 2 }), '"changed"')
  expect(await refusalOf(volume.read(new Uint8Array(1), 0, 299_999, 1))).toBe(
    `REMOTE_CHANGED: s3://images/changing.raw was changed after it was opened (it is not the object that was opened): something replaced the object; its clients would see a mixture of both`,
  )
  await volume.close()
})

it("tells what is missing from what may not be read, and names the bucket's region", async () => {
  const config = put("there.raw", sampleBytes(4096))
  const opening = (more: object, env = {}) =>
    refusalOf(openRemoteVolume({ ...config, ...more }, { plugin: remotePlugin({ clock: systemClock, env }) }))
  expect(await opening({ url: "s3://images/gone.raw" }, env)).toContain("IMAGE_FILE_NOT_FOUND")
  expect(await opening({})).toContain("its server answers 403: reading it is not allowed")
  expect(await opening({}, { ...env, AWS_SECRET_ACCESS_KEY: "wrong" })).toContain("its server answers 403")
  expect(await opening({ region: "us-east-1" }, env)).toContain("the bucket is in the region eu-central-1")
})

describe("credentials", () => {
  const bytes = sampleBytes(4096)
  const opened = async (credentials: string, env = {}) => {
    const config = { ...put("keys.raw", bytes), credentials }
    const volume = await openRemoteVolume(config, { plugin: remotePlugin({ clock: systemClock, env }) })
    await volume.close()
    return "opened"
  }
  const pair = `${key.accessKeyId}:${key.secretAccessKey}`

  it("are read from a variable, a file, and a profile of Amazon's tools", async () => {
    expect(await opened("env:LAB_KEY", { LAB_KEY: pair })).toBe("opened")
    await fs.writeFile(join(folder, "key"), `${pair}\n`)
    expect(await opened(`file:${join(folder, "key")}`)).toBe("opened")
    const profile = `[other]\naws_access_key_id = X\n[default]\naws_access_key_id = ${key.accessKeyId}\naws_secret_access_key=${key.secretAccessKey}\n`
    await fs.writeFile(join(folder, "profile"), profile)
    expect(await opened(`file:${join(folder, "profile")}`)).toBe("opened")
  })

  it("that are missing are told by their place", async () => {
    expect(await refusalOf(opened("env:LAB_KEY"))).toContain(
      "the environment variable LAB_KEY, which should have its credentials, is empty",
    )
    expect(await refusalOf(opened("file:/nowhere/key"))).toContain("/nowhere/key cannot be read (ENOENT)")
  })

  it("that are wrong appear in no part of the error", async () => {
    const error = await opened("env:LAB_KEY", { LAB_KEY: "AKIDWRONG:very-secret-words" }).catch((e) => e)
    expect(error.code).toBe("REMOTE_REFUSED")
    const all = JSON.stringify([error, error.message, error.stack, String(error.cause)])
    expect(all).not.toContain("very-secret")
    expect(all).not.toContain("AKIDWRONG")
  })

  it("have a token as their third part", () => {
    expect(parseKey("A:B/c+d:t")).toEqual({ accessKeyId: "A", secretAccessKey: "B/c+d", sessionToken: "t" })
    expect(parseKey("A:B")).toEqual({ accessKeyId: "A", secretAccessKey: "B" })
    for (const text of ["", "A", "A:", ":B", "A:B:C:D", "[default]\naws_access_key_id=A\n"])
      expect(parseKey(text)).toBeUndefined()
  })
})

it("finds a bucket by virtual host at Amazon, and by path elsewhere and where a bucket has dots", () => {
  const at = (url: string, endpoint?: string, pathStyle?: boolean) =>
    s3Address({ url, endpoint, region: "eu-west-1", pathStyle }).href
  expect(at("s3://lab/a/b.raw")).toBe("https://lab.s3.eu-west-1.amazonaws.com/a/b.raw")
  expect(at("s3://lab.example.org/a.raw")).toBe("https://s3.eu-west-1.amazonaws.com/lab.example.org/a.raw")
  expect(at("s3://lab/a%20b+c.raw", "http://h:9000")).toBe("http://h:9000/lab/a%20b%2Bc.raw")
  expect(at("s3://lab/a.raw", "https://h/base/", false)).toBe("https://lab.h/base/a.raw")
})
