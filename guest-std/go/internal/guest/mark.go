package guest

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// MARK_START and MARK_END of scenarios/workloads/src/lib.rs.
const (
	markStart uint64 = 0x5741_5349_5343_4f01
	markEnd   uint64 = 0x5741_5349_5343_4f02
)

const clockMonotonic = 1

// The package time offers no way to choose the precision, which is what carries a mark. The result is an
// unsafe.Pointer because before 1.24 Go allows no other pointer here.
//
//go:wasmimport wasi_snapshot_preview1 clock_time_get
//go:noescape
func clockTimeGet(clock uint32, precision uint64, result unsafe.Pointer) (errno uint32)

// Measure runs work between the start mark and the end mark, and returns its check. After a failure of work there is
// no end mark.
//
// The size goes in and the check comes out through Opaque, so no compiler can begin the work before the first mark or
// leave some of it for after the second.
func Measure(n uint64, work func(n uint64) (check uint64, err error)) (uint64, error) {
	if err := mark(markStart); err != nil {
		return 0, err
	}
	check, err := work(Opaque(n))
	if err != nil {
		return 0, err
	}
	check = Opaque(check)
	return check, mark(markEnd)
}

func mark(mark uint64) error {
	var time uint64
	if errno := clockTimeGet(clockMonotonic, mark, unsafe.Pointer(&time)); errno != 0 {
		return fmt.Errorf("mark failed with errno %d", errno)
	}
	return nil
}

var box uint64

// Opaque returns value in such a way that no compiler knows it to be value. Go looks through nothing of the kind, but
// TinyGo's LLVM would: it moves a call without side effects out of a loop.
func Opaque(value uint64) uint64 {
	atomic.StoreUint64(&box, value)
	return atomic.LoadUint64(&box)
}
