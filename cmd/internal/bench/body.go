package main

import (
	"strconv"
	"time"
)

// familySize is how many series a metric family has. Real exporters have a few big families and
// many small ones.
const familySize = 25

// appendBody appends what target i exposes at an instant: a third of the values stand still, a
// third count, a third move.
func (s shape) appendBody(dst []byte, target int, now time.Time) []byte {
	seconds := now.Unix()
	for i := range s.Series {
		family := i / familySize
		if i%familySize == 0 {
			dst = appendFamily(dst, family)
		}
		dst = append(dst, "bench_requests_"...)
		dst = strconv.AppendInt(dst, int64(family), 10)
		dst = append(dst, `_total{code="200",handler="/api/v1/resource/`...)
		dst = strconv.AppendInt(dst, int64(10_000+i), 10)
		dst = append(dst, `",method="GET",pod="backend-7d4b9c6f5-`...)
		dst = strconv.AppendInt(dst, int64(10_000+target), 10)
		if s.Churn {
			dst = append(dst, '-')
			dst = strconv.AppendInt(dst, generation(i, now), 10)
		}
		dst = append(dst, `"} `...)
		switch i % 3 {
		case 0:
			dst = strconv.AppendInt(dst, int64(i), 10)
		case 1:
			dst = strconv.AppendInt(dst, seconds%1_000_000*int64(i%97+1), 10)
		default:
			dst = strconv.AppendFloat(dst, float64((seconds*7919+int64(i)*104_729)%1_000_003)/1000, 'g', -1, 64)
		}
		dst = append(dst, '\n')
	}
	return dst
}

func appendFamily(dst []byte, family int) []byte {
	for _, line := range [...]string{"# HELP ", "# TYPE "} {
		dst = append(dst, line...)
		dst = append(dst, "bench_requests_"...)
		dst = strconv.AppendInt(dst, int64(family), 10)
		if line == "# HELP " {
			dst = append(dst, "_total Requests that were answered, by handler, method and status.\n"...)
		} else {
			dst = append(dst, "_total counter\n"...)
		}
	}
	return dst
}

// generation is which of its identities series i has: each keeps one for ten minutes, and each
// minute a tenth of them change.
func generation(i int, now time.Time) int64 {
	return (now.Unix()/60 + int64(i%10)) / 10
}
