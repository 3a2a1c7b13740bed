// The hashmap workload: scenarios/workloads/src/hashmap.rs says what it computes.
package main

import (
	"errors"
	"math"

	"wasiscope/guest/internal/guest"
)

func main() {
	guest.Run("hashmap", 200_000, run)
}

func run(n uint64) (uint64, error) {
	return guest.Measure(n, func(n uint64) (uint64, error) {
		keys := n/2 + 1
		if keys > math.MaxUint32 {
			return 0, errors.New("n / 2 keys are beyond 32 bits")
		}
		random := guest.Seed
		table := map[uint64]uint64{}
		check := guest.FNV1aEmpty
		for step := uint64(0); step < n; step++ {
			key := uint64(random.Below(uint32(keys)))
			switch random.Below(4) {
			case 0:
				table[key] = step
			case 1:
				table[key]++
			case 2:
				if value, found := table[key]; found {
					check.UpdateWord(value)
				}
			default:
				if value, found := table[key]; found {
					check.UpdateWord(value)
					delete(table, key)
				}
			}
		}
		check.UpdateWord(uint64(len(table)))
		return uint64(check), nil
	})
}
