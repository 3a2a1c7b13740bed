package main

import (
	"runtime"
	"sync"
	"time"
)

const (
	handOverSamples    = 200
	handOversPerSample = 100
)

// handOver has workers do nothing but yield, and returns the nanoseconds that each hundred hand-overs took.
func handOver(workers uint64) []uint64 {
	times := make([]uint64, 0, handOverSamples)
	leftInSample := 0
	base := time.Now()
	// Before the first sample has begun there is none that could end.
	before := time.Duration(-1)
	var working sync.WaitGroup
	for worker := uint64(0); worker < workers; worker++ {
		working.Add(1)
		go func() {
			for len(times) < handOverSamples {
				if leftInSample > 0 {
					leftInSample--
				} else {
					now := time.Since(base)
					if before >= 0 {
						times = append(times, uint64(now-before))
					}
					before = now
					leftInSample = handOversPerSample - 1
				}
				runtime.Gosched()
			}
			working.Done()
		}()
	}
	working.Wait()
	return times
}
