/** What iPXE says of the computer it runs on, in the URL of its script. */
import { expect, it } from "vitest"
import { modelIn, modelText } from "../../core/runtime/machine-model.ts"

it.each([
  ["product=20HDA000&manufacturer=LENOVO", "LENOVO 20HDA000", ""],
  ["image=win11&product=OptiPlex%207040&manufacturer=Dell%20Inc.", "Dell Inc. OptiPlex 7040", "image=win11"],
  ["product=A", "A", ""],
  ["product=%20%20A%00%0a%c3%a9%20&manufacturer=", "A", ""],
  [`product=${"x".repeat(65)}&manufacturer=y`, `y ${"x".repeat(64)}`, ""],
])("%s names a model", (query, model, rest) => {
  const found = modelIn(query)
  expect([modelText(found.model!), found.rest]).toEqual([model, rest])
})

it.each([
  ["", ""],
  ["image=win11", "image=win11"],
  ["product=&manufacturer=LENOVO", ""],
  [`product=\${product:uristring}&manufacturer=LENOVO`, ""],
  ["product=%zz&register=PC%201", "register=PC%201"],
  ["xproduct=A", "xproduct=A"],
])("%s names none", (query, rest) => {
  expect(modelIn(query)).toEqual({ model: undefined, rest })
})
