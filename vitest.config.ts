import { defineConfig } from "vitest/config"

const conditions = ["source", "node", "import", "module", "default"]

export default defineConfig({
  resolve: { conditions },
  ssr: { resolve: { conditions, externalConditions: ["source", "node", "import"] } },
  test: {
    include: ["specs/**/*.spec.ts"],
    exclude: ["specs/fixtures/**", "node_modules/**"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 60_000,
    execArgv: ["--conditions=source"],
  },
})
