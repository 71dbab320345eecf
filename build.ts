/** Bundles the command line and the public doors into dist/ (`npm run prepare`). */
import { existsSync, rmSync } from "node:fs"
import { build } from "rolldown"

const entries = { imagelink: "adapters/cli/main.ts", plugin: "core/storage/door.ts" }
const input = Object.fromEntries(Object.entries(entries).filter(([, file]) => existsSync(file)))
rmSync("dist", { recursive: true, force: true })
if (Object.keys(input).length > 0)
  await build({
    input,
    platform: "node",
    resolve: { conditionNames: ["source", "node", "import", "default"] },
    output: {
      dir: "dist",
      format: "esm",
      minify: true,
      entryFileNames: "[name].mjs",
      chunkFileNames: "chunks/[name]-[hash].mjs",
    },
  })
