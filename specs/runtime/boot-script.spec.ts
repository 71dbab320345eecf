/** The iPXE script of a client, whole, for each of its kinds; and that no text from outside becomes a command of it. */
import { describe, expect, it } from "vitest"
import { autoexecScript, bootScript, type DiskPlan } from "../../core/runtime/boot-script.ts"
import { echo, ipxeText } from "../../core/runtime/ipxe-text.ts"

const script = "http://192.0.2.1:8080/boot/52-54-00-00-00-01.ipxe"
const disk: DiskPlan = {
  kind: "disk",
  client: "PC-001",
  mac: "52:54:00:00:00:01",
  image: "win11@3",
  server: "192.0.2.1",
  iscsiPort: 3260,
  bootId: "aaaabbbb",
  moreSlots: [],
  withoutGateway: false,
  fallback: false,
  script,
}
const lines = (text: string) => text.trimEnd().split("\n")

describe("the script of a client that boots its disk", () => {
  it("names the initiator after the MAC, opens the boot's target, and says what to look at when that fails", () => {
    expect(lines(bootScript(disk))).toEqual([
      "#!ipxe",
      "echo Imagelink: PC-001 boots win11@3 from 192.0.2.1",
      "set initiator-iqn iqn.2026-11.io.imagelink.initiator:52-54-00-00-00-01",
      "clear username ||",
      "sanboot iscsi:192.0.2.1::::iqn.2026-11.io.imagelink:pc-001:aaaabbbb || goto failed",
      ":failed",
      "echo Imagelink: PC-001 could not boot from its disk.",
      "echo Either 192.0.2.1 port 3260 did not answer (is a firewall in the way?), the",
      "echo disk was refused (the server's log says why), or win11@3 does not boot.",
      ":again",
      "echo Trying again in 10 seconds.",
      "sleep 10",
      `chain --replace --autofree ${script} || goto again`,
      "goto again",
    ])
  })

  it("says the password of the boot, where there is one", () => {
    const all = lines(bootScript({ ...disk, password: "abcdefghijklmnopqrstuvwx" }))
    expect(all.slice(3, 5)).toEqual(["set username pc-001", "set password abcdefghijklmnopqrstuvwx"])
  })

  it("says another port, takes the gateway away, hooks more disks by their hexadecimal LUN, and names a boot loader", () => {
    const filename = "\\EFI\\debian\\grubx64.efi || exit"
    const all = lines(bootScript({ ...disk, iscsiPort: 3261, withoutGateway: true, moreSlots: [1, 10], filename }))
    expect(all.slice(2, 12)).toEqual([
      "set initiator-iqn iqn.2026-11.io.imagelink.initiator:52-54-00-00-00-01",
      "set netX/gateway 0.0.0.0",
      "clear username ||",
      "sanunhook --drive 0x80 ||",
      "sanunhook --drive 0x81 ||",
      "sanunhook --drive 0x8a ||",
      "sanhook --drive 0x80 iscsi:192.0.2.1::3261::iqn.2026-11.io.imagelink:pc-001:aaaabbbb || goto failed",
      "sanhook --drive 0x81 iscsi:192.0.2.1::3261:1:iqn.2026-11.io.imagelink:pc-001:aaaabbbb || goto failed",
      "sanhook --drive 0x8a iscsi:192.0.2.1::3261:a:iqn.2026-11.io.imagelink:pc-001:aaaabbbb || goto failed",
      "sanboot --filename \\EFI\\debian\\grubx64.efi|exit --drive 0x80 || goto failed",
    ])
  })

  it("names a boot loader with UEFI's separators, however it was written", () => {
    expect(bootScript({ ...disk, filename: "/EFI/debian/grubx64.efi" })).toContain(
      "sanboot --filename \\EFI\\debian\\grubx64.efi iscsi:",
    )
    expect(bootScript({ ...disk, filename: " " })).toContain("sanboot iscsi:")
  })

  it("goes on to the computer's own disk after three failures, where that is wanted", () => {
    const all = lines(bootScript({ ...disk, fallback: true }))
    expect(all.slice(9)).toEqual([
      `isset \${boot-failures} || set boot-failures:int32 0`,
      "inc boot-failures",
      `iseq \${boot-failures} 3 && goto local ||`,
      ":again",
      "echo Trying again in 10 seconds.",
      "sleep 10",
      `chain --replace --autofree ${script} || goto again`,
      "goto again",
      ":local",
      "echo Imagelink: booting from the computer's own disk instead",
      `iseq \${platform} pcbios || exit`,
      "sanboot --no-describe --drive 0x80 ||",
      "echo The computer's own disk did not boot.",
      "exit 1",
    ])
  })
})

const again = [":again", "echo Trying again in 10 seconds.", "sleep 10"]
const retry = [...again, `chain --replace --autofree ${script} || goto again`, "goto again"]

describe("the script of any other client", () => {
  it("offers its images and its own disk, and chooses the first image when nobody does", () => {
    const images = ["win11", "debian@2"]
    expect(lines(bootScript({ kind: "menu", client: "PC-001", images, timeoutSeconds: 7, script }))).toEqual([
      "#!ipxe",
      "menu Imagelink: what shall PC-001 boot?",
      "item image=win11 win11",
      "item image=debian@2 debian@2",
      "item local This computer's own disk",
      "choose --default image=win11 --timeout 7000 choice || goto again",
      "echo Imagelink: asking for what was chosen",
      `chain --replace --autofree ${script}?\${choice} || goto again`,
      ...retry,
    ])
  })

  it("boots the computer's own disk: the first one in BIOS, what the firmware has next in UEFI", () => {
    expect(lines(bootScript({ kind: "local", client: "PC-001", script }))).toEqual([
      "#!ipxe",
      "echo Imagelink: PC-001 boots from its own disk",
      `iseq \${platform} pcbios || exit`,
      "sanboot --no-describe --drive 0x80 ||",
      "echo The computer's own disk did not boot.",
      ...retry,
    ])
  })

  it("shows the MAC of a computer that nobody registered, and the command that does", () => {
    expect(lines(bootScript({ kind: "unregistered", mac: "52:54:00:00:00:01", ask: false, script }))).toEqual([
      "#!ipxe",
      "echo Imagelink: this computer is not registered. Its MAC is 52:54:00:00:00:01.",
      "echo To add it: imagelink client add 52:54:00:00:00:01 --name NAME",
      ...retry,
    ])
  })

  it("asks whoever stands before it for a name, where that is allowed", () => {
    expect(lines(bootScript({ kind: "unregistered", mac: "52:54:00:00:00:01", ask: true, script }))).toEqual([
      "#!ipxe",
      "echo Imagelink: this computer is not registered. Its MAC is 52:54:00:00:00:01.",
      "echo Type a name for it and press Enter; nothing but Enter means the next free",
      "echo number.",
      "clear name ||",
      "echo -n Name: ",
      "read name || goto again",
      `chain --replace --autofree ${script}?register=\${name:uristring} || goto again`,
      "echo To add it: imagelink client add 52:54:00:00:00:01 --name NAME",
      ...retry,
    ])
  })

  it("shows what is missing, why, and what to do, as text and nothing else", () => {
    const error = {
      code: "IMAGE_FILE_NOT_FOUND",
      message: `there is no file /img/\${evil}\nreboot`,
      cause: "moved; || shell",
      fix: "-n # put it back \\",
    } as const
    expect(lines(bootScript({ kind: "refused", client: "PC-001", error, fallback: false, script }))).toEqual([
      "#!ipxe",
      "echo Imagelink: PC-001 cannot boot: there is no file /img/$ {evil} reboot",
      "echo [IMAGE_FILE_NOT_FOUND]",
      "echo cause: moved; | shell",
      "echo fix: -n '# put it back",
      ...retry,
    ])
  })

  it("is found by whatever iPXE was started without one", () => {
    const model = `product=\${product:uristring}&manufacturer=\${manufacturer:uristring}`
    expect(lines(autoexecScript("http://192.0.2.1:8080"))).toEqual([
      "#!ipxe",
      "echo Imagelink: looking for the boot script of this computer",
      ":start",
      `isset \${netX/ip} || dhcp || goto failed`,
      `chain --replace --autofree http://192.0.2.1:8080/boot/\${netX/mac:hexhyp}.ipxe?${model} || goto failed`,
      ":failed",
      "echo There is no answer from http://192.0.2.1:8080. Is the network cable plugged",
      "echo in, and does the server run?",
      "echo Trying again in 10 seconds.",
      "sleep 10",
      "goto start",
    ])
  })
})

describe("text in a script", () => {
  it.each([
    ["", ""],
    ["a  b\r\n\tc", "a b c"],
    ["a ; b && c || d", "a , b & c | d"],
    ["# no comment, not#here", "'# no comment, not#here"],
    [`\${mac} $\${x} $`, "$ {mac} $$ {x} $"],
    ["Zoë 😀", "Zo? ?"],
    ["line \\ \\\\", "line"],
    ["\u2028x\u0000y\u0085z", "x y z"],
  ])("%j is %j", (text, shown) => {
    expect(ipxeText(text)).toBe(shown)
  })

  it("keeps the one setting that iPXE is to fill in, and no other", () => {
    const text = `from \${next-server} \${next-serve} \${mac}`
    expect(ipxeText(text, `\${next-server}`)).toBe(`from \${next-server} $ {next-serve} $ {mac}`)
    expect(ipxeText(text)).toBe("from $ {next-server} $ {next-serve} $ {mac}")
    expect(lines(autoexecScript(`http://\${next-server}:80`)).join(" ")).toContain(`from http://\${next-server}:80. Is`)
  })

  it("is broken at blanks, in lines that begin with no option and end with no backslash", () => {
    const word = "x".repeat(75)
    expect(echo(`${word} -n`)).toEqual([`echo ${word} -n`])
    expect(echo(`${word} --no`)).toEqual([`echo ${word}`, "echo '--no"])
    expect(echo(`${word}\\ ${word}`)).toEqual([`echo ${word}`, `echo ${word}`])
    expect(echo("x".repeat(200))).toEqual([`echo ${"x".repeat(200)}`])
    expect(echo("")).toEqual(["echo"])
  })
})
