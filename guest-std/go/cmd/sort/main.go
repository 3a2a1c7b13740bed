// The sort workload: scenarios/workloads/src/sort.rs says what it computes.
package main

import (
	"errors"
	"math"
	"slices"

	"wasiscope/guest/internal/guest"
)

func main() {
	guest.Run("sort", 100_000, run)
}

func run(n uint64) (uint64, error) {
	if n > math.MaxUint32/8 {
		return 0, errors.New("n numbers do not fit into memory")
	}
	random := guest.Seed
	numbers := make([]uint64, n)
	for i := range numbers {
		numbers[i] = random.Next()
	}
	return guest.Measure(n, func(uint64) (uint64, error) {
		slices.Sort(numbers)
		check := guest.FNV1aEmpty
		for _, number := range numbers {
			check.UpdateWord(number)
		}
		return uint64(check), nil
	})
}
