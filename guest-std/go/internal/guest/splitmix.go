package guest

import "encoding/binary"

// Seed is where the input of every workload starts.
const Seed SplitMix64 = 0x5741_5349_5343_4f50

// SplitMix64 is the source of reproducible input. Its value is its state, at first the seed.
type SplitMix64 uint64

// Next returns the next 64 bits.
func (s *SplitMix64) Next() uint64 {
	*s += 0x9e37_79b9_7f4a_7c15
	z := uint64(*s)
	z = (z ^ z>>30) * 0xbf58_476d_1ce4_e5b9
	z = (z ^ z>>27) * 0x94d0_49bb_1331_11eb
	return z ^ z>>31
}

// Below returns the next number below bound: the upper 32 of the next 64 bits, times bound, divided by 2³².
func (s *SplitMix64) Below(bound uint32) uint32 {
	return uint32(s.Next() >> 32 * uint64(bound) >> 32)
}

// Fill fills bytes, each step giving eight of them, least significant first; the last step is cut if need be.
func (s *SplitMix64) Fill(bytes []byte) {
	for ; len(bytes) >= 8; bytes = bytes[8:] {
		binary.LittleEndian.PutUint64(bytes, s.Next())
	}
	if len(bytes) > 0 {
		var last [8]byte
		binary.LittleEndian.PutUint64(last[:], s.Next())
		copy(bytes, last[:])
	}
}
