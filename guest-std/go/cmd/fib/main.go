// The fib workload: scenarios/workloads/src/fib.rs says what it computes.
package main

import "wasiscope/guest/internal/guest"

const index = 20

func main() {
	guest.Run("fib", 64, run)
}

func run(n uint64) (uint64, error) {
	return guest.Measure(n, func(n uint64) (uint64, error) {
		check := uint64(0)
		for i := uint64(0); i < n; i++ {
			check += fib(uint32(guest.Opaque(index)))
		}
		return check, nil
	})
}

func fib(index uint32) uint64 {
	if index < 2 {
		return uint64(index)
	}
	return fib(index-1) + fib(index-2)
}
