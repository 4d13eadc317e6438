// What a stranger with Go's sumdb packages can check of a node's log, over HTTP.
//
//	sumdb API VKEY OLDER INDEX DIGEST
//
// API is host and port, VKEY the verifier key of the checkpoint, OLDER a file with an earlier checkpoint, and DIGEST the
// hexadecimal entry that stands at INDEX. Every tile that is read is checked against the checkpoint's root. Ends with 1
// and the reason when anything does not hold.
package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

func check(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

func get(url string) ([]byte, error) {
	response, err := http.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 1<<20))
}

// The tree of a checkpoint that the key signed.
func opened(text []byte, key note.Verifier) (tlog.Tree, error) {
	signed, err := note.Open(text, note.VerifierList(key))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(signed.Text, "\n")
	if len(lines) != 4 || lines[0] != key.Name() {
		return tlog.Tree{}, fmt.Errorf("%q is no checkpoint of %s", signed.Text, key.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := base64.StdEncoding.DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return tlog.Tree{}, fmt.Errorf("%q is no root", lines[2])
	}
	tree := tlog.Tree{N: size}
	copy(tree.Hash[:], root)
	return tree, nil
}

// Tiles of height 8 over HTTP. Package tlog names the height in their paths, C2SP does not.
type tiles struct{ api string }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		path := strings.Replace(tile.Path(), "tile/8/", "tile/", 1)
		data, err := get("http://" + t.api + "/log/" + path)
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func main() {
	if len(os.Args) != 6 {
		fmt.Fprintln(os.Stderr, "usage: sumdb API VKEY OLDER INDEX DIGEST")
		os.Exit(2)
	}
	api := os.Args[1]
	key, err := note.NewVerifier(os.Args[2])
	check("verifier key", err)
	text, err := get("http://" + api + "/log/checkpoint")
	check("checkpoint", err)
	tree, err := opened(text, key)
	check("checkpoint", err)
	text, err = os.ReadFile(os.Args[3])
	check("older checkpoint", err)
	older, err := opened(text, key)
	check("older checkpoint", err)
	index, err := strconv.ParseInt(os.Args[4], 10, 64)
	check("index", err)
	entry, err := hex.DecodeString(os.Args[5])
	check("digest", err)

	hashes := tlog.TileHashReader(tree, tiles{api})
	inclusion, err := tlog.ProveRecord(tree.N, index, hashes)
	check("tiles", err)
	check("inclusion", tlog.CheckRecord(inclusion, tree.N, tree.Hash, index, tlog.RecordHash(entry)))
	consistency, err := tlog.ProveTree(tree.N, older.N, hashes)
	check("tiles", err)
	check("consistency", tlog.CheckTree(consistency, tree.N, tree.Hash, older.N, older.Hash))
	fmt.Printf("%d is in a log of %d, which begins with what it was at %d\n", index, tree.N, older.N)
}
