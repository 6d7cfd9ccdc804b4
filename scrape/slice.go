package scrape

// slicing says which part of a config's targets a scraper has. The zero value: all.
type slicing struct{ slice, slices int }

// divide returns the targets of this slice, and of those that belong to others the kin.
func (s slicing) divide(targets []*target) (ours []*target, others map[uint64]struct{}) {
	if s.slices <= 1 && s.slice == 0 {
		return targets, nil
	}
	others = map[uint64]struct{}{}
	for _, t := range targets {
		// A target that only changes its interval stays in its slice.
		if kin := t.kin(); jump(kin, max(s.slices, 1)) == s.slice {
			ours = append(ours, t)
		} else {
			others[kin] = struct{}{}
		}
	}
	return ours, others
}

// jump assigns a key to one of n slices, evenly, so that of n keys only each n-th goes elsewhere when there is one slice more: to the new
// one. It is the jump consistent hash of Lamping and Veach, arXiv:1406.2294. All nodes, and all versions, must agree about it.
func jump(key uint64, n int) int {
	slice, next := int64(-1), int64(0)
	for next < int64(n) {
		slice = next
		key = key*2862933555777941757 + 1
		next = int64(float64(slice+1) * (float64(int64(1)<<31) / float64(key>>33+1)))
	}
	return int(slice)
}
