/**
 * Which model a computer is: what its SMBIOS says, told by iPXE when it fetches its script, for no message of DHCP has it.
 *
 *     http://10.0.0.1:8080/boot/52-54-00-00-00-01.ipxe?product=20HDA000&manufacturer=LENOVO
 *
 * **Details** iPXE puts its settings into a URL that DHCP names as it does into one of a script. What does not know them sends nothing, or the words as they are; then the model is
 * not known.
 */
import { limits } from "../limits.ts"

export interface MachineModel {
  readonly manufacturer: string
  readonly product: string
}

/** To be put behind a script's URL that iPXE is given. */
export const MODEL_QUERY = `product=\${product:uristring}&manufacturer=\${manufacturer:uristring}`

/** A script's URL as people read it. */
export const withoutModel = (url: string): string => url.replace(`?${MODEL_QUERY}`, "")

/** The model in a query, and the rest of it, as it came. */
export const modelIn = (query: string): { readonly model: MachineModel | undefined; readonly rest: string } => {
  const parts = query.split("&")
  const value = (key: string) => said(parts.find((part) => part.startsWith(`${key}=`))?.slice(key.length + 1))
  const [product, manufacturer] = [value("product"), value("manufacturer")]
  const rest = parts.filter((part) => !/^(product|manufacturer)=/u.test(part)).join("&")
  return { model: product === "" ? undefined : { product, manufacturer }, rest }
}

/** `LENOVO 20HDA000` */
export const modelText = ({ manufacturer, product }: MachineModel): string => `${manufacturer} ${product}`.trim()

const said = (value = ""): string => {
  const text = decoded(value)
  const shown = text.replaceAll(/[^\x20-\x7e]/gu, "").trim()
  return text.includes("${") ? "" : shown.slice(0, limits.machineModelCharsMax)
}

const decoded = (value: string): string => {
  try {
    return decodeURIComponent(value)
  } catch {
    return ""
  }
}
