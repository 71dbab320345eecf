/**
 * The reads of a real boot, in their order: a Linux virtual machine over iSCSI, firmware and boot loader first, 44 MiB in 1,209 reads.
 *
 * **Details** Each is `distance.length` in blocks of 512 bytes and base 36; the distance is from the end of the read before. Places are on a disk that has
 * only the clusters the boot touched, in their order on the disk that was booted: 48 MiB.
 */
const packed = `
1s.4 -1w.1 0.1 0.w 23ml.1 -x.w -23nh.w da.1 1r.4 -4.1 -1t.1 -1.1 ov.1 1r.4 -4.1 -1t.1 -1.1 v.1 -w.1 266.1 1r.4
-4.1 -1t.1 -1.1 -39d.1 0.1 0.w 23ml.1 -x.w -23nh.w da.1 1r.4 -4.1 -1t.1 -1.1 2v3.1 1r.4 -4.1 -1t.1 -1.1
-25d.1s iw.3k 0.w0 0.3k -2rs.1s cg.1s n4.1s 24g.1s 134.1s 24g.1s 0.1s 1s.1s hfk.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s -19kw.1s mgw.1s -fpc.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
1s.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s
0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s 0.1s -o74.8 0.8 0.8 0.8 0.8 23m8.8 -14.8 0.8 0.8 0.8 -6w.8
-207c.w 0.1s 0.3k 0.74 -gw.8 -22w.w ko.8 -pc.8 -lk.w 0.1s 0.3k 0.74 22sg.8 -23k8.w 0.1s 0.3k 0.74 2w2.2 -4.8
-6.2 -4.8 -6.2 -4.8 0.8 15c.74 -7c.8 1y8w.8 -1w34.8 13tc.8 -14zc.48 0.8 0.2w 1vmw.8 14.8 g.8 -qx4.8 4p4.8
-4m0.w qog.8 -1wkw.1s 0.8 0.5c 1amw.8 -1ag8.1k 0.8 0.5k 1ac8.8 k8w.8 -k3c.w -3gg.3s 3js.3s -9k.5s -74.1c
-68w.8 yw.74 -ww.g -14l4.6o -6w.8 1tww.w 6g.3s -ils.w 2rk.48 -2vs.68 0.40 i0g.68 -i6o.74 -6mw.6g 6xs.74 -aw.3s
hi8.8 -og8.60 6yw.4g 140.74 -100.74 5k.74 -pc.5k -uw.4g -5u8.74 6xs.74 -7x4.74 5uo.74 -5go.54 78g.68 -1hc.3s
-6pc.74 -ow.4o 6cw.20 -6ew.40 -15ao.48 0.8 0.2w 1weg.8 -1wbc.g 0.8 0.8 1cc0.5k -8vk.8 4g.8 1og.4w -e0.20 ps0.8
-1wqg.o -w.8 1a80.w 0.2g g2o.w hc.3s -l4.68 1sw.w 4w.3s -8o.4w -gy0.w eo.3s f7c.w tk.3s -xc.74 -fxs.68 0.74
el4.74 -l5s.8 l5k.40 -lsw.8 6wg.1c -1di0.8 2w.8 -260.8 0.8 25k.8 -3s.8 -21s.8 o.8 1k.8 3c.8 6w.8 3c.8 hk.8
s8.8 3c.8 -1a8.8 -l4.8 o.8 1k.8 -34.8 g.g g.1c g.3c 8.6w -1hc.8 0.w 23fc.8 2w.8 0.8 -7c.8 -202o.8 o.8 1k.8
3c.8 6w.8 e0.8 6w.8 oo.8 1h4.8 -35c.8 o.8 1k.8 -34.8 g.g g.1c g.3c 8.6w 8.e0 1yps.e8 0.6w 8.3k 8.2w -2354.8
-g.8 o.8 o.8 1k.8 3c.8 6w.8 3c.8 -hc.8 o.8 1k.8 -34.8 o0.8 1vg8.74 -i48.w o.3s -4g.o -qg.w 3k.3s -7c.3k -1hs.w
16w.w -17s.1k 168.1s nmg.w i8.34 -8c8.w co.o -5k.4g -c8.68 -a0o.w 708.3s -6sw.74 9ps.w 1k.3s 3fs.w 154.40
-194.68 -28g.w 2g.2w -5c.2g 44w.w 10w.3s -6io.w 5s.3s -9k.5s -azs.w 0.1s 7aw.w 1vk.40 16w.w 3k.3s -7c.3k
-14o.w 40.3s -9o0.74 0.40 dq0.74 3bc.74 -8ag.40 -2b4.68 0.74 8fc.74 0.74 -a20.74 -62w.74 5vs.74 0.74 -6a0.74
0.74 5vs.w -5wo.74 0.74 8r4.1k -4o.g -6g.1k 7pc.74 -els.74 1ts.74 -20w.3k eb4.40 74.8 -1wgw.3c -3k.8 1wjk.8
-1wgg.20 0.8 0.4w 1we0.8 2g.8 -k7s.1s g9s.74 -9ts.74 bq8.4o -8ew.74 -j2w.8 g.w 58w.w h5c.74 0.5c 74.1s 0.14
-58o.5c 0.1s 0.3k 0.74 0.74 0.74 0.5c 74.1s 0.74 0.w 7bc.74 0.74 0.3s -hv4.g 74.1k 25s.74 0.74 0.74 0.74 0.74
0.74 0.74 ehk.g -ei0.74 0.74 0.28 ao.1c 0.74 0.40 0.34 0.3k 0.74 0.74 0.74 0.74 0.2g 74.4o 0.g 74.6o 0.5s 0.3k
0.74 0.6w 7u8.5c 0.1s 0.3k 0.4g 74.2o 0.2w -m6o.w -w.w 0.1s -18ls.8 g.8 1s.8 18u8.w 0.3s k2w.w 8g.3s 1ts.w
5c.3s -2g0.68 20o.5c -260.28 -jg0.w 6o.3s -ag.6o -488.8 540.w 0.28 -68.w 0.1c -2d4.w fk.w -g8.3k j4.3s -qo.8
g8.6g -34w.8 4p4.8 -18jc.8 13tc.8 qsw.8 -rns.8
`

export interface TracedRead {
  readonly offset: number
  readonly length: number
}

const BLOCK = 512
export const BOOT_READS = packed.trim().split(/\s+/).length

/** As a boot of a disk of this size: a read that lies past its end is moved into it. */
export const bootTrace = (sizeBytes: number): ReadonlyArray<TracedRead> => {
  let end = 0
  return packed
    .trim()
    .split(/\s+/)
    .map((read) => {
      const [distance = 0, blocks = 0] = read.split(".").map((digits) => Number.parseInt(digits, 36))
      const offset = end + distance * BLOCK
      const length = Math.min(blocks * BLOCK, sizeBytes)
      end = offset + blocks * BLOCK
      return { offset: offset + length <= sizeBytes ? offset : offset % (sizeBytes - length + BLOCK), length }
    })
}
