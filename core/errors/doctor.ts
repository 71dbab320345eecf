/** What `imagelink doctor` finds wrong with a site, from the server's side and from a client's. */
import { entry } from "./entry.ts"

export const doctorErrors = {
  // --- Ports and network ---
  PORT_HELD: entry<{ protocol: string; at: string; holder: string }>({
    exit: 1,
    message: (p) => `${p.protocol} cannot have ${p.at}`,
    cause: (p) => `${p.holder} has it`,
    fix: (p) => `stop that program, or choose another port: --${p.protocol}-port N`,
  }),
  PORT_PRIVILEGED: entry<{ protocol: string; at: string; user: string }>({
    exit: 1,
    message: (p) => `${p.protocol} cannot have ${p.at} when ${p.user} starts the server`,
    cause: () => "ports below 1024 take a privilege that this user has not",
    fix: () =>
      "let the service have it (AmbientCapabilities=CAP_NET_BIND_SERVICE, as examples/systemd has), or let systemd hand the socket over",
  }),
  NOT_SERVED: entry<{ protocol: string; port: string }>({
    exit: 1,
    message: (p) => `the running server does not serve ${p.protocol}, though the settings name port ${p.port}`,
    cause: () => "it was started with other settings, or before these were written",
    fix: () => "start it again: ports take effect then; 'imagelink config show' prints what it would be told",
  }),
  INTERFACE_MISSING: entry<{ interface: string; there: string }>({
    exit: 1,
    message: (p) => `there is no network interface ${p.interface}`,
    cause: (p) => `this machine has ${p.there}`,
    fix: () =>
      "name one of these with --interface (interface in imagelink.toml); a card that is new may have a new name",
  }),
  INTERFACE_DOWN: entry<{ interface: string; why: string }>({
    exit: 1,
    message: (p) => `the network interface ${p.interface} carries nothing`,
    cause: (p) => p.why,
    fix: (p) =>
      `switch it on with 'ip link set ${p.interface} up'; where it is on, look at its cable and at the switch`,
  }),
  ADDRESS_MISSING: entry<{ address: string; where: string; has: string }>({
    exit: 1,
    message: (p) => `${p.where} does not have the address ${p.address}`,
    cause: (p) => `it has ${p.has}, and PCs are told ${p.address} for their boot files and disks`,
    fix: () => "give --address one of these, or give the interface that address",
  }),
  FIREWALL_DROPS: entry<{ protocol: string; at: string; rule: string }>({
    exit: 1,
    message: (p) => `the firewall of this machine drops what PCs send to ${p.protocol} at ${p.at}`,
    cause: (p) => `by the rule: ${p.rule}`,
    fix: (p) => `let ${p.at} in before that rule; for a boot, DHCP, TFTP, HTTP and iSCSI all have to pass`,
  }),
  FIREWALL_UNCLEAR: entry<{ protocol: string; at: string; rule: string }>({
    exit: 1,
    message: (p) => `the firewall of this machine may drop what PCs send to ${p.protocol} at ${p.at}`,
    cause: (p) => `whether this rule holds for them cannot be told from here: ${p.rule}`,
    fix: () => "try it from a client's place: imagelink doctor --from NAMESPACE, or a PC",
  }),
  FIREWALL_UNREADABLE: entry<{ why: string }>({
    exit: 1,
    message: () => "the firewall's rules cannot be read",
    cause: (p) => p.why,
    fix: () => "run 'imagelink doctor' as root to have them looked at",
  }),

  // --- Boot files ---
  BOOT_FILE_MISSING: entry<{ file: string; folder: string; fix: string }>({
    exit: 1,
    message: (p) => `the boot program ${p.file} is not in ${p.folder}`,
    cause: () => "firmware that is sent to it stops with a message of its own, mostly 'file not found'",
    fix: (p) => p.fix,
  }),
  IPXE_OLD: entry<{ file: string; version: string }>({
    exit: 1,
    message: (p) => `${p.file} is iPXE ${p.version}, which does not ask for autoexec.ipxe`,
    cause: () => "iPXE does so since 2022, and without our DHCP nothing else leads it to its script",
    fix: () =>
      "use a newer iPXE (Debian package ipxe of Debian 13, or a release of ipxe.org), or serve DHCP too: --dhcp proxy",
  }),
  SECURE_BOOT_INCOMPLETE: entry<{ folder: string; file: string }>({
    exit: 1,
    message: (p) => `${p.folder} has no ${p.file}`,
    cause: () =>
      "shim and what it loads belong together; half of the pair is not used, and machines with Secure Boot do not boot",
    fix: () => "unpack ipxeboot.tar.gz of an iPXE release into the folder of boot files, names unchanged",
  }),

  // --- The data folder ---
  DATA_OWNER: entry<{ path: string; owner: string; expected: string; folder: string }>({
    exit: 1,
    message: (p) => `${p.path} belongs to ${p.owner}, the data folder to ${p.expected}`,
    cause: () => "a command was run as another user, and the server may not write what that left",
    fix: (p) =>
      `chown -R ${p.expected}: ${p.folder}; then run commands as ${p.expected}, or talk to the running server`,
  }),
  DATA_OPEN: entry<{ path: string; mode: string; fix: string }>({
    exit: 1,
    message: (p) => `other users of this machine may use ${p.path} (mode ${p.mode})`,
    cause: () => "the data folder holds keys, tokens and every client's disk",
    fix: (p) => p.fix,
  }),
  DISK_NEARLY_FULL: entry<{ path: string; free: string; kept: string }>({
    exit: 1,
    message: (p) => `the disk that holds ${p.path} has ${p.free} left`,
    cause: (p) => `what clients write is refused from ${p.kept} on, and the log needs room too`,
    fix: () => "free or add space; 'imagelink status' shows who wrote how much, 'imagelink client reset' gives it back",
  }),
  FILE_SYSTEM_LACKS: entry<{ path: string; type: string; lacks: string; means: string }>({
    exit: 1,
    message: (p) => `the file system of ${p.path} (${p.type}) has no ${p.lacks}`,
    cause: (p) => p.means,
    fix: () => "put the data folder on ext4, XFS or Btrfs",
  }),
  FILE_SYSTEM_VOLATILE: entry<{ path: string; type: string }>({
    exit: 1,
    message: (p) => `${p.path} is in RAM (${p.type})`,
    cause: () => "the log, the images' versions and everybody's writes are gone when this machine is switched off",
    fix: () => "put the data folder on a disk: --data DIR",
  }),
  FILE_SYSTEM_REMOTE: entry<{ path: string; type: string }>({
    exit: 1,
    message: (p) => `${p.path} is on another machine (${p.type})`,
    cause: () => "locks and syncs are only as good as that server's, and every PC waits for it",
    fix: () => "put the data folder on a disk of this machine; images may stay where they are",
  }),

  // --- The machine ---
  CLOCK_BEHIND: entry<{ now: string; last: string }>({
    exit: 1,
    message: (p) => `the clock says ${p.now}, before the log's last event`,
    cause: (p) => `that was recorded at ${p.last}; new events get that time until the clock has caught up`,
    fix: () =>
      "set the clock (timedatectl set-ntp true); where it was the last event that was wrong, its 'wall' says so in 'imagelink log'",
  }),
  CLOCK_UNSYNCHRONISED: entry<{ now: string }>({
    exit: 1,
    message: () => "nothing keeps this machine's clock right",
    cause: (p) => `the kernel says that it is not synchronised; it shows ${p.now}`,
    fix: () => "run a time service: apt install systemd-timesyncd, or chrony",
  }),
  LIMIT_LOW: entry<{ limit: string; value: string; wanted: string; fix: string }>({
    exit: 1,
    message: (p) => `${p.limit} is ${p.value}; ${p.wanted} are wanted`,
    cause: () => "every PC takes a connection and some open files",
    fix: (p) => p.fix,
  }),
  MEMORY_SHORT: entry<{ available: string; wanted: string; why: string }>({
    exit: 1,
    message: (p) => `${p.available} of memory are available; ${p.wanted} are wanted`,
    cause: (p) => p.why,
    fix: () => "give the machine or its control group more (MemoryMax=), or say less with --cache and --ram",
  }),
  CERTIFICATE_EXPIRED: entry<{ path: string; when: string }>({
    exit: 1,
    message: (p) => `the certificate ${p.path} does not hold now`,
    cause: (p) => p.when,
    fix: () => "put a new one in its place with its key, and let the server read it: 'imagelink config reload'",
  }),
  CERTIFICATE_ENDS_SOON: entry<{ path: string; when: string }>({
    exit: 1,
    message: (p) => `the certificate ${p.path} holds until ${p.when} only`,
    cause: () => "from then on nobody reaches the API over the network",
    fix: () => "put a new one in its place with its key, and let the server read it: 'imagelink config reload'",
  }),
  CERTIFICATE_UNUSABLE: entry<{ path: string; why: string }>({
    exit: 1,
    message: (p) => `the certificate ${p.path} cannot be used`,
    cause: (p) => p.why,
    fix: () => "name a certificate in PEM and the key that belongs to it: api-cert and api-key",
  }),

  // --- As a client sees it ---
  CHECK_TIMED_OUT: entry<{ check: string; seconds: string }>({
    exit: 1,
    message: (p) => `the check ${p.check} did not end within ${p.seconds} seconds`,
    cause: () => "what it asks does not answer: a disk, a mount of another machine, or a server that hangs",
    fix: () => "look at this machine's load and at its log (journalctl -k); then repeat it with --only",
  }),
  DHCP_SILENT: entry<{ who: string; where: string }>({
    exit: 1,
    message: (p) => `no DHCP offer for ${p.who} on ${p.where}`,
    cause: () => "the server does not hear it, does not answer it, or the answer does not come back",
    fix: () =>
      "see that the server serves DHCP on this network, that nothing drops UDP 67 and 68 between, and that the PC is registered (or --dhcp-range lends it an address)",
  }),
  DHCP_OTHER_SERVER: entry<{ other: string; ours: string; gives: string }>({
    exit: 1,
    message: (p) => `another DHCP server answers on this network: ${p.other}`,
    cause: (p) => `it offers ${p.gives} beside ${p.ours}; a PC that takes its offer does not boot from here`,
    fix: () =>
      "switch that server off, or tell ours that it gives the addresses: --dhcp proxy; 'ip neigh' and the switch's table say where it is",
  }),
  DHCP_NO_ADDRESS: entry<{ where: string }>({
    exit: 1,
    message: (p) => `nobody on ${p.where} offers an address`,
    cause: () => "ours is a proxy, which only says where to boot from; the DHCP server beside it does not answer",
    fix: () => "see that the other DHCP server runs, or let ours give addresses: --dhcp full",
  }),
  DHCP_OFFER_WRONG: entry<{ who: string; why: string }>({
    exit: 1,
    message: (p) => `the DHCP offer for ${p.who} does not lead to a boot`,
    cause: (p) => p.why,
    fix: () => "see the settings with 'imagelink config show': DHCP boots PCs only where TFTP and HTTP are served too",
  }),
  TFTP_SILENT: entry<{ file: string; at: string }>({
    exit: 1,
    message: (p) => `TFTP at ${p.at} does not deliver ${p.file}`,
    cause: () =>
      "nothing comes back: it is not served, or a firewall drops UDP 69 or the transfer's own port above 1023",
    fix: () => "see that the server serves TFTP, and let UDP 69 and its answers through between it and the PCs",
  }),
  TFTP_WRONG: entry<{ file: string; at: string; why: string }>({
    exit: 1,
    message: (p) => `TFTP at ${p.at} does not give ${p.file} as it is`,
    cause: (p) => p.why,
    fix: () =>
      "see that the file is in the folder of boot files, readable for the server, and that no other TFTP server has the port",
  }),
  SCRIPT_UNREACHABLE: entry<{ url: string; why: string }>({
    exit: 1,
    message: (p) => `the boot script ${p.url} cannot be fetched`,
    cause: (p) => p.why,
    fix: () => "see that the server serves HTTP there (--http-port), and that no firewall is between",
  }),
  SCRIPT_REFUSES: entry<{ client: string; code: string; why: string; fix: string }>({
    exit: 1,
    message: (p) => `the boot script of ${p.client} leads to no boot: ${p.code}`,
    cause: (p) => p.why,
    fix: (p) => p.fix,
  }),
  ISCSI_UNREACHABLE: entry<{ at: string; why: string }>({
    exit: 1,
    message: (p) => `iSCSI at ${p.at} does not answer`,
    cause: (p) => p.why,
    fix: () => "see that the server serves iSCSI there (--iscsi-port), and that no firewall drops its TCP port",
  }),
  ISCSI_REFUSED: entry<{ target: string; why: string }>({
    exit: 1,
    message: (p) => `a login at ${p.target} is refused`,
    cause: (p) => p.why,
    fix: () => "the server's log says why; see the client's link and its recorded address with 'imagelink client show'",
  }),
  DISK_UNREADABLE: entry<{ target: string; why: string }>({
    exit: 1,
    message: (p) => `the first block of ${p.target} cannot be read`,
    cause: (p) => p.why,
    fix: () => "'imagelink image check' says what of the image is damaged; restore that, or 'imagelink image rollback'",
  }),
  DISK_NOT_BOOTABLE: entry<{ target: string }>({
    exit: 1,
    message: (p) => `the first block of ${p.target} is no boot sector`,
    cause: () => "it does not end with 55h AAh, so firmware finds neither a boot loader nor a partition table",
    fix: () => "see that the image is a whole disk and not one partition of it, and that something is installed on it",
  }),
  CLIENT_SIDE_FAILED: entry<{ from: string; why: string }>({
    exit: 1,
    message: (p) => `the client's side cannot be tried from ${p.from}`,
    cause: (p) => p.why,
    fix: () => "name a network namespace ('ip netns list') as root, or one of this machine's addresses",
  }),
} as const
