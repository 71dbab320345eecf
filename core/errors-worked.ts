/**
 * The errors that operators meet most, worked through: what one sees, why it happens, and what to do, step by step.
 *
 * **Details** The five of the design have a section each as soon as their code exists; the page is not made without it (errors-page.ts).
 */

export interface Worked {
  /** What the operator and the person at the client see. */
  readonly see: string
  readonly why: string
  /** In order; commands stand between backticks. */
  readonly steps: ReadonlyArray<string>
}

/** Codes that must have a section once they are in the list of errors. */
export const workedCodes: ReadonlyArray<string> = [
  "IMAGE_FILE_NOT_FOUND",
  "IMAGE_ACCESS_DENIED",
  "CRC_MISMATCH",
  "NO_SUPER_CLIENT",
  "TFTP_TIMEOUT",
]

export const worked: Readonly<Record<string, Worked>> = {
  IMAGE_FILE_NOT_FOUND: {
    see: "Clients of one image do not get their disk, or stop with read errors; the server's log and `imagelink image check NAME` name the file.",
    why: "An image is served in place, from the path it was added with. The file was moved, renamed or deleted, or the disk or share it lies on is not mounted. Nothing in Imagelink's own data is damaged, and no client's writes are lost.",
    steps: [
      "See which path is recorded: `imagelink image show NAME`.",
      "Look whether the folder is there: `ls -l PATH`. If the whole folder is empty, mount its disk or share (`findmnt`, `mount -a`) and go on with the last step.",
      "If the file was moved, say where it is now: `imagelink image relocate NAME NEW-PATH`. The file is read once, and accepted only if every byte matches the recorded checksums.",
      "If it was deleted, put a copy back from a backup, at the recorded path or elsewhere followed by `image relocate`.",
      "Make sure: `imagelink image check NAME`. Then start the clients again.",
    ],
  },
  IMAGE_ACCESS_DENIED: {
    see: "`image add`, `image check` or a client's attach is refused with the path and the user that may not read it.",
    why: "The server reads images as the user it runs as. Reading a file takes read permission on the file and search (x) permission on every folder above it; root is not exempt on a network share that maps root to nobody.",
    steps: [
      "Take the user from the message, and look at every step of the path: `namei -l PATH`.",
      "Find the first line where that user has neither `r` on the file nor `x` on the folder.",
      "Give just that: `setfacl -m u:USER:x FOLDER` for a folder, `setfacl -m u:USER:r FILE` for the file (or `chgrp` and `chmod g+rx`).",
      "On an NFS share, export it to this server without root squashing, or run the server as the owner of the files.",
      "Try as that user: `sudo -u USER head -c 512 PATH >/dev/null`. Then repeat the command.",
    ],
  },
  CRC_MISMATCH: {
    see: "A client gets read errors at one place of its disk, or `imagelink image check NAME` counts bad clusters and ends with exit 1. The message names image, version, bytes and LBAs. A server finds such a cluster by itself sooner or later: it scrubs every version once a month (`--scrub-rate`, `--scrub-every-days`).",
    why: "The storage gave back other bytes than were there when the image was first checked: a failing disk or controller, memory, or something that wrote to the master file. The wrong bytes were not served. Other clusters and other images are not touched by it.",
    steps: [
      "Read the whole image once to know how much is concerned: `imagelink image check NAME --all`. It lists LBAs, the file that has them, and where the newest known backup keeps that file.",
      "If something wrote to the file (IMAGE_CHANGED comes with it, or its time of change is new), put the original back, or add the changed file as an image of its own.",
      "Else suspect the disk: `dmesg`, `smartctl -a DEVICE`. Copy what is readable away before anything else.",
      "Put the file back from a backup: at its path, or at another one followed by `imagelink image relocate NAME NEW-PATH`, which accepts it only if every byte is right.",
      "Make sure: `imagelink image check NAME` ends with exit 0. Then start the clients that had errors again.",
    ],
  },
  NO_SUPER_CLIENT: {
    see: "`imagelink image commit NAME` is refused; nothing was sealed and nothing changed.",
    why: "A commit makes the next version of an image from what its super client wrote. No client is one now: none was set, it was cleared, or the last commit ended it. What other clients write is thrown away or kept for themselves, and never becomes a version.",
    steps: [
      "Choose the client on which the update is to be made, linked to the image: `imagelink links`.",
      "Set it: `imagelink client set-super CLIENT NAME`.",
      "Start that client again: only what it writes from this boot on is kept for the commit.",
      "Make the changes on it, and shut it down.",
      "Commit: `imagelink image commit NAME`. The other clients get the new version at their next boot.",
    ],
  },
  TFTP_TIMEOUT: {
    see: "A client stands at its boot screen (PXE-E32, PXE-E35 or `TFTP` with dots) and goes on to its next boot device; the server's log names the client, the file and the last block it acknowledged.",
    why: "The server sent packets and got no answer, however often it sent them again. At block 0 or 1 nothing comes through at all: as a rule a firewall, because a transfer does not stay on port 69 but goes on between two ports above 1023. In the middle of a file the way was lost: a cable, a switch, the client's power, or packets larger than the way takes. A slow disk under the boot files makes clients give up first.",
    steps: [
      "Take the client's address and the file from the log, and fetch the same file from another machine of that network: `curl -o /dev/null tftp://SERVER/FILE`.",
      "If that fails too, look at the server's firewall: `nft list ruleset`. Let UDP in on the ports 67, 69 and 4011, and on the ports above 1023 from the clients' network; between networks, the router must do the same.",
      "If only this client fails, look at its cable, its switch port (spanning tree without portfast keeps it silent for half a minute) and its firmware's version.",
      "See whether answers come back while it boots: `tcpdump -ni any udp and host CLIENT`.",
      "If transfers stop in the middle or are slow for all, measure the disk under the boot files: `dd if=FILE of=/dev/null bs=1M`, and move them to a local disk (`serve --boot-files DIR`).",
      "Start the client again.",
    ],
  },
}
