package main

import (
	"runtime"
	"sync"
	"time"

	"wasiscope/guest/internal/guest"
)

// Those of scenarios/workloads/src/cooperation/.
const (
	greedyItems = 50
	itemSteps   = 100
	poolItems   = 20_000
	queueItems  = 16
)

type poolFigures struct {
	handOversNs        []uint64
	fairnessMillionths uint64
	starvationNs       uint64
	throughputPerS     uint64
}

// pool runs a pool once without a clock, once for the waits, and its workers once without items.
func pool(workers uint64, greedy bool) poolFigures {
	firstItems := uint64(1)
	if greedy {
		firstItems = greedyItems
	}
	turns := poolItems / (workers - 1 + firstItems) * workers

	untimed := newRun(workers, turns, nil)
	working := untimed.start(firstItems)
	start := time.Now()
	working.Wait()
	elapsed := uint64(time.Since(start))

	watch := newWatch(workers)
	newRun(workers, turns, watch).start(firstItems).Wait()

	sum := uint64(0)
	for _, items := range untimed.items {
		sum += items
	}
	if elapsed == 0 {
		elapsed = 1
	}
	return poolFigures{
		handOversNs:        handOver(workers),
		fairnessMillionths: jainMillionths(untimed.items),
		starvationNs:       uint64(watch.longestWait),
		throughputPerS:     sum * 1_000_000_000 / elapsed,
	}
}

// jainMillionths is Jain's index in millionths, rounded. Somebody must have done something.
func jainMillionths(items []uint64) uint64 {
	sum, squares := uint64(0), uint64(0)
	for _, items := range items {
		sum += items
		squares += items * items
	}
	divisor := squares * uint64(len(items))
	return (sum*sum*1_000_000 + divisor/2) / divisor
}

// poolRun is what the workers of one run share.
type poolRun struct {
	// Nobody ever waits for it: whoever takes an item puts one back before anybody else runs.
	queue     chan uint64
	turnsLeft uint64
	items     []uint64
	// watch is nil in the run without a clock.
	watch *watch
}

func newRun(workers, turns uint64, watch *watch) *poolRun {
	r := &poolRun{make(chan uint64, queueItems), turns, make([]uint64, workers), watch}
	random := guest.Seed
	for i := 0; i < queueItems; i++ {
		r.queue <- random.Next()
	}
	return r
}

// start makes the workers. They run as soon as whoever called this waits for them.
func (r *poolRun) start(firstItems uint64) *sync.WaitGroup {
	var working sync.WaitGroup
	for worker := range r.items {
		itemsPerTurn := uint64(1)
		if worker == 0 {
			itemsPerTurn = firstItems
		}
		working.Add(1)
		go func(worker int) {
			r.work(worker, itemsPerTurn)
			working.Done()
		}(worker)
	}
	return &working
}

// work takes turns for as long as there are any, whoever took the others.
func (r *poolRun) work(worker int, itemsPerTurn uint64) {
	for r.turnsLeft > 0 {
		r.turnsLeft--
		if r.watch != nil {
			r.watch.arrive(worker)
		}
		for i := uint64(0); i < itemsPerTurn; i++ {
			r.queue <- work(<-r.queue)
			r.items[worker]++
		}
		if r.watch != nil {
			r.watch.leave(worker)
		}
		runtime.Gosched()
	}
}

// work makes of an item the next one.
func work(value uint64) uint64 {
	for step := 0; step < itemSteps; step++ {
		random := guest.SplitMix64(value)
		value = random.Next()
	}
	return value
}

// watch times one wait after the other, each of another worker, and reads the clock where it begins and where it ends.
type watch struct {
	// base is what times are counted from: time.Since is one reading of the clock, and time.Now two, of both clocks.
	base    time.Time
	workers int
	// watched is the worker whose wait is timed, or is to be timed next.
	watched     int
	isWaiting   bool
	since       time.Duration
	longestWait time.Duration
}

func newWatch(workers uint64) *watch {
	return &watch{base: time.Now(), workers: int(workers)}
}

func (w *watch) arrive(worker int) {
	if worker != w.watched || !w.isWaiting {
		return
	}
	if wait := time.Since(w.base) - w.since; wait > w.longestWait {
		w.longestWait = wait
	}
	w.isWaiting = false
	w.watched = (worker + 1) % w.workers
}

func (w *watch) leave(worker int) {
	if worker == w.watched {
		w.isWaiting = true
		w.since = time.Since(w.base)
	}
}
