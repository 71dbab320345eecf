/**
 * The boot script as the client would be given it, by HTTP: the real path, asked for as a preview, so that no boot begins and nothing is discarded.
 *
 * **Details** What a PC would show on its screen is read from the script: errors are scripts too, with status 200.
 */
import { fail } from "../../../core/errors.ts"
import { scriptUrl } from "../../../core/runtime/boot-scripts.ts"
import { withoutModel } from "../../../core/runtime/machine-model.ts"
import type { Check } from "../check.ts"
import { type Exam, localAddress, NO_SERVER, placeOf, placeText, type ScriptShown, served } from "../exam.ts"
import { type Found, failed, pass, skip, warn } from "../finding.ts"

/** Fetches it once, for all who want to see it. */
export const fetchScript = async (exam: Exam): Promise<ScriptShown> => {
  const url = await urlOf(exam)
  if (url === undefined) return { url, text: undefined, why: undefined }
  const at = placeOf(new URL(url).host.includes(":") ? new URL(url).host : `${new URL(url).host}:80`)
  try {
    const text = await exam.wires.http(`${url}?preview`, at && localAddress(exam, at))
    return { url, text, why: undefined }
  } catch (e) {
    return { url, text: undefined, why: (e as Error).message }
  }
}

/** Where our own DHCP sends iPXE, else where the server listens. */
const urlOf = async (exam: Exam): Promise<string | undefined> => {
  const at = served(exam, "http")
  const client = await exam.client()
  if (at === undefined || client === undefined) return undefined
  const { offers } = await exam.told()
  const told = offers.ipxe
    .map(({ file }) => withoutModel(file))
    .find((file) => file.startsWith(`http://${placeText(at)}/`))
  return told ?? scriptUrl(`http://${placeText(at)}`, client.mac)
}

export const script: Check = {
  name: "script",
  side: "client",
  async run(exam) {
    if (exam.running === undefined) return [skip("script", NO_SERVER)]
    if (served(exam, "http") === undefined) return [skip("script", "the server does not serve HTTP")]
    const client = await exam.client()
    if (client === undefined) return [skip("script", "no client is registered yet")]
    const { url = "", text, why = "" } = await exam.script()
    if (text === undefined) return [failed(client.name, fail("SCRIPT_UNREACHABLE", { url, why }))]
    return [judge(client.name, url, text)]
  },
}

const judge = (client: string, url: string, text: string): Found => {
  const screen = screenOf(text)
  if (!text.startsWith("#!ipxe\n"))
    return failed(client, fail("SCRIPT_UNREACHABLE", { url, why: "what answers there is no iPXE script" }))
  const [, what = "", code = "", cause = "", fix = ""] =
    /cannot boot: (.*?) \[([A-Z_]+)\] cause: (.*?)(?: - .*?)? fix: (.*?) Trying again/u.exec(screen) ?? []
  if (code !== "") return failed(client, fail("SCRIPT_REFUSES", { client, code, why: `${what}; ${cause}`, fix }))
  if (screen.includes("is not registered")) {
    const [, add = ""] = /To add it: (.*?) Trying again/u.exec(screen) ?? []
    return warn(
      client,
      fail("SCRIPT_REFUSES", { client, code: "unregistered", why: "nobody registered this MAC", fix: add }),
    )
  }
  const [, disk] = /Imagelink: \S+ boots (\S+) from/u.exec(screen) ?? []
  const does =
    disk !== undefined
      ? `boots ${disk}`
      : /boots from its own disk/u.test(screen)
        ? "boots from its own disk"
        : "shows a menu"
  return pass(client, `${does}, by ${url}`)
}

/** The lines that a PC shows, as one. */
export const screenOf = (script: string): string =>
  script
    .split("\n")
    .filter((line) => line.startsWith("echo "))
    .map((line) => line.slice("echo ".length))
    .join(" ")
