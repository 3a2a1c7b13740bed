// The workerpool workload: scenarios/workloads/src/workerpool.rs says what it computes.
package main

import (
	"runtime"

	"wasiscope/guest/internal/guest"
)

const (
	workers   = 3
	queueJobs = 16
)

type job struct {
	input  guest.SplitMix64
	rounds uint32
}

func main() {
	guest.Run("workerpool", 30_000, run)
}

func run(n uint64) (uint64, error) {
	return guest.Measure(n, func(n uint64) (uint64, error) {
		jobs := make(chan job, queueJobs)
		sums := make(chan uint64)
		for worker := 0; worker < workers; worker++ {
			go work(jobs, sums)
		}
		produce(n, jobs)
		check := uint64(0)
		for worker := 0; worker < workers; worker++ {
			check += <-sums
		}
		return check, nil
	})
}

func produce(n uint64, jobs chan<- job) {
	random := guest.Seed
	for i := uint64(0); i < n; i++ {
		input := random.Next()
		jobs <- job{input: guest.SplitMix64(input), rounds: 1 + random.Below(8)}
	}
	close(jobs)
}

// work does jobs until there are no more, and then reports the sum of their results. Which worker gets which job is
// up to the scheduler; the sum over all workers is not.
func work(jobs <-chan job, sums chan<- uint64) {
	sum := uint64(0)
	for job := range jobs {
		sum += compute(job)
	}
	sums <- sum
}

func compute(job job) uint64 {
	value := uint64(job.input)
	for round := uint32(0); round < job.rounds; round++ {
		random := guest.SplitMix64(value)
		value = random.Next()
		runtime.Gosched()
	}
	return value
}
