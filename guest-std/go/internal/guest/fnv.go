package guest

import "math/bits"

// FNV1a is the 64-bit FNV-1a hash of what it has seen so far, at first FNV1aEmpty. The standard library's hashes bytes
// only, and through an interface.
type FNV1a uint64

// FNV1aEmpty is the hash of no bytes.
const FNV1aEmpty FNV1a = 0xcbf2_9ce4_8422_2325

const fnv1aPrime = 0x0000_0100_0000_01b3

// Update goes on with bytes.
func (h *FNV1a) Update(bytes []byte) {
	hash := *h
	for _, b := range bytes {
		hash = (hash ^ FNV1a(b)) * fnv1aPrime
	}
	*h = hash
}

// UpdateWord goes on with a whole word in one step. From here on the hash is no longer FNV-1a.
func (h *FNV1a) UpdateWord(word uint64) {
	*h = FNV1a(bits.RotateLeft64((uint64(*h)^word)*fnv1aPrime, 29))
}
