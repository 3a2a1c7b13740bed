// Package guest makes a workload a WASI command: what an ordinary program would do, and the marks.
package guest

import (
	"fmt"
	"os"
	"strconv"
)

const (
	exitFailure = 1
	exitUsage   = 2
)

// Run runs a workload as a command: n from the first argument, or defaultN without one; the result on standard output.
//
// It exits with 2 when the argument is no number and with 1 when anything else fails.
func Run(name string, defaultN uint64, workload func(n uint64) (check uint64, err error)) {
	n := defaultN
	if len(os.Args) > 1 {
		// In base 10 this takes digits and nothing else: no sign, no spaces, no underscores.
		parsed, err := strconv.ParseUint(os.Args[1], 10, 64)
		if err != nil {
			fail(exitUsage, "n must be a decimal number")
		}
		n = parsed
	}
	check, err := workload(n)
	if err != nil {
		fail(exitFailure, err)
	}
	if _, err := fmt.Printf("%s n=%d check=%016x\n", name, n, check); err != nil {
		fail(exitFailure, err)
	}
}

func fail(code int, reason any) {
	fmt.Fprintln(os.Stderr, "error:", reason)
	os.Exit(code)
}
