// Checks exported logs and proofs with Go's own sumdb/note and sumdb/tlog.
//
//	check_log ORIGIN VKEY [VKEY ...] < jobs
//
// A job is a line of words: "export DIR KNOWN", a C2SP tlog-tiles directory and a checkpoint that it must extend (- for
// none), or "proof FILE", a C2SP tlog-proof. For each job a line goes out: "ok", or "refused" and the reason.
//
// What it does not read: the entries themselves (they are bytes to it), and tiles that the checkpoint does not need.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// p256 verifies signature type 0x02, which note.NewVerifier does not know.
type p256 struct {
	name string
	hash uint32
	key  *ecdsa.PublicKey
}

func (v p256) Name() string    { return v.name }
func (v p256) KeyHash() uint32 { return v.hash }
func (v p256) Verify(text, signature []byte) bool {
	digest := sha256.Sum256(text)
	return ecdsa.VerifyASN1(v.key, digest[:], signature)
}

func verifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) == 3 && strings.HasPrefix(parts[2], "Aj") { // base64 of 0x02 and the first bits of a DER sequence
		der, err := base64.StdEncoding.DecodeString(parts[2])
		if err != nil {
			return nil, err
		}
		key, err := x509.ParsePKIXPublicKey(der[1:])
		if err != nil {
			return nil, err
		}
		hash := sha256.Sum256(der[1:])
		return p256{parts[0], binary.BigEndian.Uint32(hash[:4]), key.(*ecdsa.PublicKey)}, nil
	}
	return note.NewVerifier(vkey)
}

// openCheckpoint returns the tree of a checkpoint that is of the log origin and that all keys signed.
func openCheckpoint(data []byte, origin string, keys []note.Verifier) (tlog.Tree, error) {
	opened, err := note.Open(data, note.VerifierList(keys...))
	if err != nil {
		return tlog.Tree{}, err
	}
	lines := strings.Split(opened.Text, "\n")
	if len(opened.Sigs) != len(keys) || len(lines) < 4 || lines[0] != origin {
		return tlog.Tree{}, fmt.Errorf("%d of %d signatures, of the log %q", len(opened.Sigs), len(keys), lines[0])
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	if err != nil {
		return tlog.Tree{}, err
	}
	root, err := tlog.ParseHash(lines[2])
	return tlog.Tree{N: size, Hash: root}, err
}

// directory reads tiles of height 8; tlog's paths name the height, C2SP's do not.
type directory string

func (d directory) Height() int                     { return 8 }
func (d directory) SaveTiles([]tlog.Tile, [][]byte) {}
func (d directory) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(d), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err == nil && len(data) != tile.W*tlog.HashSize {
			err = fmt.Errorf("%s has %d bytes", tile.Path(), len(data))
		}
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

// bundle returns the entries of one bundle.
func (d directory) bundle(index, count int64) ([][]byte, error) {
	tile := tlog.Tile{H: 8, L: 0, N: index, W: int(count)}
	data, err := os.ReadFile(filepath.Join(string(d), strings.Replace(tile.Path(), "tile/8/0/", "tile/entries/", 1)))
	var entries [][]byte
	for err == nil && len(data) > 0 {
		if len(data) < 2 || len(data) < 2+int(binary.BigEndian.Uint16(data)) {
			return nil, errors.New("a bundle was cut")
		}
		end := 2 + int(binary.BigEndian.Uint16(data))
		entries, data = append(entries, data[2:end]), data[end:]
	}
	if err == nil && int64(len(entries)) != count {
		err = fmt.Errorf("%d entries in a bundle of %d", len(entries), count)
	}
	return entries, err
}

func checkExport(dir directory, known, origin string, keys []note.Verifier) error {
	data, err := os.ReadFile(filepath.Join(string(dir), "checkpoint"))
	if err != nil {
		return err
	}
	tree, err := openCheckpoint(data, origin, keys)
	if err != nil {
		return err
	}
	reader := tlog.TileHashReader(tree, dir)
	if known != "-" {
		if err := checkConsistent(tree, reader, known, origin, keys); err != nil {
			return err
		}
	}
	for first := int64(0); first < tree.N; first += 256 {
		entries, err := dir.bundle(first/256, min(256, tree.N-first))
		if err != nil {
			return err
		}
		for i, entry := range entries {
			index := first + int64(i)
			proof, err := tlog.ProveRecord(tree.N, index, reader)
			if err != nil {
				return err
			}
			if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
				return fmt.Errorf("entry %d: %w", index, err)
			}
		}
	}
	return nil
}

func checkConsistent(tree tlog.Tree, reader tlog.HashReader, known, origin string, keys []note.Verifier) error {
	data, err := os.ReadFile(known)
	if err != nil {
		return err
	}
	old, err := openCheckpoint(data, origin, keys)
	if err != nil {
		return err
	}
	if old.N > tree.N {
		return fmt.Errorf("%d entries, %d were known", tree.N, old.N)
	}
	proof, err := tlog.ProveTree(tree.N, old.N, reader)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, old.N, old.Hash)
}

func checkProof(file, origin string, keys []note.Verifier) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	parts := strings.SplitN(string(data), "\n\n", 2)
	lines := strings.Split(parts[0], "\n")
	if len(parts) < 2 || len(lines) < 3 || lines[0] != "c2sp.org/tlog-proof@v1" || !strings.HasPrefix(lines[1], "extra ") ||
		!strings.HasPrefix(lines[2], "index ") {
		return errors.New("no proof with an entry")
	}
	entry, err := base64.StdEncoding.DecodeString(lines[1][6:])
	if err != nil {
		return err
	}
	index, err := strconv.ParseInt(lines[2][6:], 10, 64)
	if err != nil || strconv.FormatInt(index, 10) != lines[2][6:] {
		return fmt.Errorf("the index %q", lines[2][6:])
	}
	var proof tlog.RecordProof
	for _, line := range lines[3:] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return err
		}
		proof = append(proof, hash)
	}
	tree, err := openCheckpoint([]byte(parts[1]), origin, keys)
	if err != nil {
		return err
	}
	return tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry))
}

func min(a, b int64) int64 {
	if a < b {
		return a
	}
	return b
}

func main() {
	origin := os.Args[1]
	var keys []note.Verifier
	for _, vkey := range os.Args[2:] {
		key, err := verifier(vkey)
		if err != nil {
			fmt.Fprintln(os.Stderr, vkey, err)
			os.Exit(2)
		}
		keys = append(keys, key)
	}
	jobs := bufio.NewScanner(os.Stdin)
	for jobs.Scan() {
		words := strings.Fields(jobs.Text())
		err := fmt.Errorf("no such job: %q", jobs.Text())
		if len(words) == 3 && words[0] == "export" {
			err = checkExport(directory(words[1]), words[2], origin, keys)
		} else if len(words) == 2 && words[0] == "proof" {
			err = checkProof(words[1], origin, keys)
		}
		if err != nil {
			fmt.Println("refused", strconv.Quote(err.Error()))
		} else {
			fmt.Println("ok")
		}
	}
}
