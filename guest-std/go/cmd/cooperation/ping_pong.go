package main

import (
	"time"

	"wasiscope/guest/internal/guest"
)

const (
	samples         = 100
	roundsPerSample = 100
)

// pingPong has two goroutines exchange a number through two channels with room for one, and returns the nanoseconds
// that each hundred rounds took.
func pingPong() []uint64 {
	ping, pong := make(chan uint64, 1), make(chan uint64, 1)
	go func() {
		for count := range ping {
			pong <- count + 1
		}
	}()
	times := make([]uint64, 0, samples)
	count := uint64(0)
	base := time.Now()
	before := time.Duration(0)
	for sample := 0; sample < samples; sample++ {
		for round := 0; round < roundsPerSample; round++ {
			ping <- count + 1
			count = <-pong
		}
		now := time.Since(base)
		times = append(times, uint64(now-before))
		before = now
	}
	close(ping)
	guest.Opaque(count)
	return times
}
