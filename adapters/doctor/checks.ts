/** Every check, in the order of the report: one line adds one. */
import type { Check } from "./check.ts"
import { dhcp } from "./client/dhcp.ts"
import { iscsi } from "./client/iscsi.ts"
import { script } from "./client/script.ts"
import { tftp } from "./client/tftp.ts"
import { bootFiles } from "./server/boot-files.ts"
import { certificates } from "./server/certificates.ts"
import { clock } from "./server/clock.ts"
import { dataFolder } from "./server/data-folder.ts"
import { diskSpace } from "./server/disk-space.ts"
import { fileSystem } from "./server/file-system.ts"
import { firewall } from "./server/firewall.ts"
import { images } from "./server/images.ts"
import { networkInterface } from "./server/interface.ts"
import { log } from "./server/log.ts"
import { ports } from "./server/ports.ts"
import { processLimits } from "./server/process-limits.ts"
import { server } from "./server/server.ts"
import { settings } from "./server/settings.ts"

export const checks: ReadonlyArray<Check> = [
  server,
  settings,
  ports,
  networkInterface,
  firewall,
  bootFiles,
  dataFolder,
  diskSpace,
  fileSystem,
  clock,
  processLimits,
  log,
  images,
  certificates,
  dhcp,
  tftp,
  script,
  iscsi,
]
