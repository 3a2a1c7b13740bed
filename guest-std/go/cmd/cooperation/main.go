// The cooperation command: scenarios/workloads/src/cooperation.rs says what it measures and prints. What is an executor
// and its tasks there are Go's own scheduler and goroutines here, and channels are channels.
//
// Goroutines share what they use without locks: under WASI there is one thread, and nothing else than a call of the
// scheduler takes it from a goroutine.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"wasiscope/guest/internal/guest"
)

const (
	exitFailure = 1
	exitUsage   = 2
	maxWorkers  = 1000
)

func main() {
	workers, greedy, err := parse(os.Args[1:])
	if err != nil {
		fail(exitUsage, err)
	}
	text, err := run(workers, greedy)
	if err != nil {
		fail(exitFailure, err)
	}
	if _, err := os.Stdout.WriteString(text); err != nil {
		fail(exitFailure, err)
	}
}

func parse(arguments []string) (workers uint64, greedy bool, err error) {
	wrong := fmt.Errorf("the arguments are a number of workers, 1 to %d, and `fair` or `greedy`", maxWorkers)
	if len(arguments) < 2 {
		return 0, false, wrong
	}
	workers, err = strconv.ParseUint(arguments[0], 10, 64)
	if err != nil || workers < 1 || workers > maxWorkers || arguments[1] != "fair" && arguments[1] != "greedy" {
		return 0, false, wrong
	}
	return workers, arguments[1] == "greedy", nil
}

// run measures both, and returns what is to be printed.
func run(workers uint64, greedy bool) (string, error) {
	var figures poolFigures
	var roundTrips []uint64
	_, err := guest.Measure(workers, func(workers uint64) (uint64, error) {
		figures = pool(workers, greedy)
		roundTrips = pingPong()
		return workers, nil
	})
	if err != nil {
		return "", err
	}
	var text strings.Builder
	// The time of a hundred is the mean of one in hundredths.
	for _, ns := range figures.handOversNs {
		measured(&text, "hand_over", ns, 2)
	}
	measured(&text, "fairness", figures.fairnessMillionths, 6)
	measured(&text, "starvation", figures.starvationNs, 0)
	measured(&text, "throughput", figures.throughputPerS, 0)
	for _, ns := range roundTrips {
		measured(&text, "round_trip", ns, 2)
	}
	text.WriteString("done\n")
	return text.String(), nil
}

// measured adds a line with value, whose last digits, as many as decimals says, lie behind the point.
func measured(text *strings.Builder, name string, value uint64, decimals int) {
	digits := fmt.Sprintf("%0*d", decimals+1, value)
	if decimals > 0 {
		point := len(digits) - decimals
		digits = digits[:point] + "." + digits[point:]
	}
	fmt.Fprintf(text, "measured %s %s\n", name, digits)
}

func fail(code int, reason any) {
	fmt.Fprintln(os.Stderr, "error:", reason)
	os.Exit(code)
}
