// The sha256 workload: scenarios/workloads/src/sha256.rs says what it computes.
package main

import (
	"crypto/sha256"
	"encoding/binary"

	"wasiscope/guest/internal/guest"
)

const pieceBytes = 4096

func main() {
	guest.Run("sha256", 65536, run)
}

func run(n uint64) (uint64, error) {
	return guest.Measure(n, func(n uint64) (uint64, error) {
		return binary.BigEndian.Uint64(digest(n)), nil
	})
}

func digest(n uint64) []byte {
	random := guest.Seed
	hash := sha256.New()
	var buffer [pieceBytes]byte
	for n > 0 {
		piece := buffer[:min(n, pieceBytes)]
		random.Fill(piece)
		hash.Write(piece)
		n -= uint64(len(piece))
	}
	return hash.Sum(nil)
}
