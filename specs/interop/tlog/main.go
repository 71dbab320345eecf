// Checks a log that Imagelink wrote, with Go's own transparency-log packages (golang.org/x/mod/sumdb/{note,tlog}).
//
//	main KEY FOLDER proof FILE...               note and inclusion of each proof file, with the entry in its "extra" line
//	main KEY FOLDER consistency OLD PROOF       OLD's note, the checkpoint's note, and the proof between them (base64 lines)
//	main KEY FOLDER tree                        every tile against the root, every bundle against its tile
//
// tlog.ParseTree knows only Go's own header line, so the body of a C2SP tlog-checkpoint is parsed here.
package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(err error, what string) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func must(holds bool, what string) {
	if !holds {
		check(fmt.Errorf("does not hold"), what)
	}
}

func hash(line string) (h tlog.Hash) {
	bytes, err := base64.StdEncoding.DecodeString(line)
	check(err, "hash")
	must(len(bytes) == tlog.HashSize, "size of a hash")
	copy(h[:], bytes)
	return h
}

func hashes(lines []string) (out []tlog.Hash) {
	for _, line := range lines {
		out = append(out, hash(line))
	}
	return out
}

// checkpoint opens a signed note and reads its body: origin, size, root.
func checkpoint(key, text string) tlog.Tree {
	verifier, err := note.NewVerifier(key)
	check(err, "verifier key")
	opened, err := note.Open([]byte(text), note.VerifierList(verifier))
	check(err, "note")
	lines := strings.Split(opened.Text, "\n")
	must(len(lines) == 4 && lines[3] == "" && lines[0] == verifier.Name(), "body of the checkpoint")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	check(err, "tree size")
	return tlog.Tree{N: size, Hash: hash(lines[2])}
}

func read(path string) string {
	bytes, err := os.ReadFile(path)
	check(err, path)
	return string(bytes)
}

func proof(key, file string) {
	parts := strings.SplitN(read(file), "\n\n", 2)
	must(len(parts) == 2, "blank line of the proof")
	lines := strings.Split(parts[0], "\n")
	must(len(lines) >= 3 && lines[0] == "c2sp.org/tlog-proof@v1", "first line of the proof")
	entry, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(lines[1], "extra "))
	check(err, "extra")
	index, err := strconv.ParseInt(strings.TrimPrefix(lines[2], "index "), 10, 64)
	check(err, "index")
	tree := checkpoint(key, parts[1])
	check(tlog.CheckRecord(hashes(lines[3:]), tree.N, tree.Hash, index, tlog.RecordHash(entry)), file)
}

// tiles gives Go's tile reader our files: the same but for the height in the path, and full tiles in place of partial ones.
type tiles struct{ folder string }

func (t tiles) Height() int                       { return 8 }
func (t tiles) SaveTiles([]tlog.Tile, [][]byte)   {}
func (t tiles) ReadTiles(wanted []tlog.Tile) (out [][]byte, err error) {
	for _, tile := range wanted {
		path := filepath.Join(t.folder, strings.Replace(tile.Path(), "tile/8/", "tile/", 1))
		bytes, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, bytes)
	}
	return out, nil
}

func entries(folder string, index, width int64) (out [][]byte) {
	tile := tlog.Tile{H: 8, L: 0, N: index, W: int(width)}
	bytes := []byte(read(filepath.Join(folder, strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1))))
	for len(bytes) > 0 {
		length := int(binary.BigEndian.Uint16(bytes))
		out = append(out, bytes[2:2+length])
		bytes = bytes[2+length:]
	}
	must(int64(len(out)) == width, "entries of a bundle")
	return out
}

func tree(folder string, head tlog.Tree) {
	reader := tlog.TileHashReader(head, tiles{folder})
	var stored []tlog.Hash
	own := tlog.HashReaderFunc(func(indexes []int64) (out []tlog.Hash, err error) {
		for _, i := range indexes {
			out = append(out, stored[i])
		}
		return out, nil
	})
	for from := int64(0); from < head.N; from += 256 {
		width := head.N - from
		if width > 256 {
			width = 256
		}
		for i, entry := range entries(folder, from/256, width) {
			n := from + int64(i)
			more, err := tlog.StoredHashes(n, entry, own)
			check(err, "hashes of the entries")
			stored = append(stored, more...)
			leaf, err := reader.ReadHashes([]int64{tlog.StoredHashIndex(0, n)})
			check(err, "tiles")
			must(leaf[0] == tlog.RecordHash(entry), fmt.Sprintf("entry %d against its tile", n))
		}
	}
	root, err := tlog.TreeHash(head.N, own)
	check(err, "root of the entries")
	must(root == head.Hash, "root of the entries")
}

func main() {
	key, folder, what, args := os.Args[1], os.Args[2], os.Args[3], os.Args[4:]
	now := checkpoint(key, read(filepath.Join(folder, "checkpoint")))
	switch what {
	case "proof":
		for _, file := range args {
			proof(key, file)
		}
	case "consistency":
		old := checkpoint(key, read(args[0]))
		lines := strings.Fields(read(args[1]))
		check(tlog.CheckTree(hashes(lines), now.N, now.Hash, old.N, old.Hash), "consistency")
	case "tree":
		tree(folder, now)
	default:
		must(false, "what to check: "+what)
	}
	fmt.Printf("%s holds for %d entries\n", what, now.N)
}
