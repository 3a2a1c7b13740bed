// The hello workload: scenarios/workloads/src/hello.rs says what it computes.
package main

import (
	"os"

	"wasiscope/guest/internal/guest"
)

var line = []byte("hello, world\n")

func main() {
	guest.Run("hello", 1, run)
}

func run(n uint64) (uint64, error) {
	return guest.Measure(n, func(n uint64) (uint64, error) {
		check := guest.FNV1aEmpty
		for i := uint64(0); i < n; i++ {
			if _, err := os.Stdout.Write(line); err != nil {
				return 0, err
			}
			check.Update(line)
		}
		return uint64(check), nil
	})
}
