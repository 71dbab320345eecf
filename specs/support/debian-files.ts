/**
 * What makes a Debian of packages a PC that boots from its iSCSI disk: a few small files, and the loader's first words.
 *
 * **Details** Kernel, initramfs, open-iscsi and the user land are Debian's own. Its open-iscsi finds the disk by what iPXE left in memory (iBFT, kernel option
 * `iscsi_auto`). In place of systemd, which takes longer to start than the rest together on a processor that QEMU interprets, a small `init` starts iscsid, which logs
 * in again when the server was away. A PC whose firmware says that its product is `systemd` gets that instead. Either way something does what a virtio port says.
 */

import { readFileSync } from "node:fs"

/** Of the root's file system, by which the loaders and fstab find it. */
export const ROOT_UUID = "1b0af3c7-5c2c-4f0e-9d5e-7a1f7e5d0001"

/** Of a PC (SMBIOS, system information) that runs systemd. */
export const SYSTEMD_PRODUCT = "systemd"

/** Nothing is asked of a mirror but these and what they depend on. */
export const PACKAGES = [
  ...["linux-image-cloud-amd64", "initramfs-tools", "zstd", "udev", "open-iscsi", "e2fsprogs", "systemd"],
]

/** What udev does to our disks under systemd: the file that operators are given. Without systemd there is no udev, and `INIT` does it. */
const UDEV_RULES = "60-imagelink-disk.rules"
const udevRules = readFileSync(new URL(`../../examples/linux-image/${UDEV_RULES}`, import.meta.url), "utf8")
export const DISK_TIMEOUT_SECONDS = Number(/ATTR\{timeout\}="(\d+)"/u.exec(udevRules)![1])

/** Left out of what the packages bring: nobody reads it here, and the disk is read whole for its checksums. */
export const EXCLUDED = [
  "/usr/share/doc/*",
  "/usr/share/man/*",
  "/usr/share/info/*",
  "/usr/share/locale/*",
  "/lib/modules/*/kernel/sound/*",
  "/lib/modules/*/kernel/drivers/infiniband/*",
  "/lib/modules/*/kernel/drivers/gpu/*",
]

const INIT = `#!/bin/sh
export PATH=/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
[ "$(cat /sys/class/dmi/id/product_name)" = ${SYSTEMD_PRODUCT} ] && exec /lib/systemd/systemd
say() { echo "pc-init: $1" >/dev/kmsg; }
mount -o remount,rw /
say "the root is writable"
for timeout in /sys/block/sd*/device/timeout; do echo ${DISK_TIMEOUT_SECONDS} >$timeout; done
iscsid
say "iscsid runs"
exec pc-shell
`

/**
 * A port of virtio-serial, not a second UART: that one tells by an edge that it has room, and where QEMU's processor misses one edge, one of some forty PCs never said a word more.
 * Reading ends at once while QEMU has not yet told that somebody is there.
 */
const SHELL = `#!/bin/sh
# Says READY on the port, and carries out each line "NUMBER COMMAND" as "OUTPUT =NUMBER STATUS".
for port in /dev/vport*p1; do :; done
exec 0<>$port 1>&0 2>&0
echo READY
echo "pc-shell: ready" >/dev/kmsg
while :; do
  read -r number command || { sleep 0.1; continue; }
  sh -c "$command" </dev/null
  echo "=$number $?"
done
`

/** Flushed and unmounted as far as a root can be; the kernel's own power-off, for there is no service to ask. Each step is on the console, after the time. */
const POWEROFF = `#!/bin/sh
say() { echo "pc-poweroff: $1" >/dev/kmsg; }
if [ -d /run/systemd/system ]; then
  systemctl poweroff || exit 1
  exec sleep infinity
fi
say sync
sync
say "remount read-only"
mount -o remount,ro / || exit 1
say "power off"
echo o >/proc/sysrq-trigger
exec sleep 600
`

/** What systemd starts for the port's commands, when nothing else is left to start. */
const SERVICE = `[Unit]
Description=The port's commands
[Service]
Type=idle
Environment=HOME=/root
ExecStart=/usr/local/sbin/pc-shell
[Install]
WantedBy=multi-user.target
`

/** A unit that is an empty file is not started (systemd.unit(5)). They are for whoever sits before a PC for days. */
const MASKED = [
  ...["getty@.service", "serial-getty@.service", "getty-static.service", "systemd-pstore.service"],
  ...["apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer"],
  ...["systemd-tmpfiles-clean.timer", "e2scrub_reap.service"],
]

const SBIN = "/usr/local/sbin"
const INIT_PATH = `${SBIN}/pc-init`
const UNITS = "/etc/systemd/system"

export interface PlacedFile {
  readonly path: string
  readonly text: string
  readonly executable?: boolean
}

/** There before the packages are configured, so that the initramfs is made once and right. */
export const FILES: ReadonlyArray<PlacedFile> = [
  { path: INIT_PATH, text: INIT, executable: true },
  { path: `${SBIN}/pc-shell`, text: SHELL, executable: true },
  { path: `${SBIN}/pc-poweroff`, text: POWEROFF, executable: true },
  { path: `${UNITS}/pc-shell.service`, text: SERVICE },
  ...MASKED.map((unit) => ({ path: `${UNITS}/${unit}`, text: "" })),
  { path: "/etc/fstab", text: `UUID=${ROOT_UUID} / ext4 errors=remount-ro 0 1\n` },
  { path: `/etc/udev/rules.d/${UDEV_RULES}`, text: udevRules },
  // open-iscsi's hook copies it, which is its sign that the root is on an iSCSI disk.
  { path: "/etc/iscsi/iscsi.initramfs", text: "ISCSI_AUTO=true\n" },
  {
    path: "/etc/initramfs-tools/conf.d/pc",
    text: "MODULES=list\nCOMPRESS=zstd\nCOMPRESSLEVEL=3\nFSTYPE=ext4\nRUNSIZE=10%\n",
  },
  {
    path: "/etc/initramfs-tools/modules",
    text: "virtio_pci\nvirtio_net\nvirtio_console\nscsi_mod\nsd_mod\niscsi_tcp\niscsi_ibft\ncrc32c\n",
  },
]

/** A root that is away comes back: what waits for it waits for a day, as examples/linux-image says. */
export const REPLACEMENT_SECONDS = 86_400

/**
 * Where two cores carry many machines, a timer may come late: the kernel does not give up over it, and what it would guard against is not tried here. One that
 * hangs is asked by its keyboard what it waits for.
 *
 * `napi_tx=0`: powering off, Linux 6.1 takes the network card away (virtio_dev_shutdown) while others still send. What then sends a packet gathers in those that were sent before until there
 * are none, and from a card that was taken away it gets none: it tries for ever (start_xmit), and the PC is never off. Without napi_tx nothing is gathered in there. Seen with a
 * PC that sends all the while: one of two hung.
 */
const KERNEL_OPTIONS = [
  `root=UUID=${ROOT_UUID} ro iscsi_auto init=${INIT_PATH}`,
  "console=ttyS0,115200 net.ifnames=0 panic=-1 no_timer_check nowatchdog mitigations=off tsc=unstable sysrq_always_enabled virtio_net.napi_tx=0",
].join(" ")

/** In the loader itself: where its disk's kernel is. There is one kernel, so Debian's links lead to it. */
export const GRUB_CONFIG = `serial --unit=0 --speed=115200
terminal_output serial
search --no-floppy --fs-uuid --set=root ${ROOT_UUID}
echo GRUB
linux /vmlinuz ${KERNEL_OPTIONS}
initrd /initrd.img
boot
`
