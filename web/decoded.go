package web

import (
	"errors"
	"fmt"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"google.golang.org/protobuf/encoding/protowire"
)

// maxDecodedBytes is how much memory one request may take when it is decoded. An empty series is 2
// bytes in a request and some hundred in memory, and millions of them compress to nothing. A
// request of 16 MiB with real series stays below.
const maxDecodedBytes = 256 << 20

// errTooCostly says that a request would take more.
var errTooCostly = errors.New("remote write request has too many parts for its size")

// Bytes that the parts of a request take when they are decoded, with what a growing list wastes.
const (
	seriesBytes    = 256
	histogramBytes = 512
	partBytes      = 64 // a label, a sample, an exemplar, a span
	numberBytes    = 8  // in a packed list, where it may be one byte
)

// checkDecoded estimates what decoding costs, from the outline of the message alone.
func checkDecoded(body []byte, version remoteapi.WriteMessageType) error {
	series, histograms := protowire.Number(1), protowire.Number(4)
	if version == remoteapi.WriteV2MessageType {
		series, histograms = 5, 3
	}
	total := 0
	err := eachPart(body, func(number protowire.Number, part []byte) error {
		total += partBytes + len(part)
		if number == series {
			total += seriesBytes
		}
		if err := checkTotal(total); err != nil || number != series {
			return err
		}
		return eachPart(part, func(number protowire.Number, part []byte) error {
			total += partBytes
			if number == histograms {
				total += histogramBytes + numberBytes*len(part)
			}
			return checkTotal(total)
		})
	})
	if errors.Is(err, errTooCostly) {
		return err
	}
	return nil // what is malformed is told by who decodes it
}

func checkTotal(total int) error {
	if total > maxDecodedBytes {
		return fmt.Errorf("%w: it would take more than %d bytes of memory", errTooCostly, maxDecodedBytes)
	}
	return nil
}

// eachPart calls f for each field of a message that has a length.
func eachPart(message []byte, f func(number protowire.Number, part []byte) error) error {
	for len(message) > 0 {
		number, kind, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if kind != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, kind, message); n < 0 {
				return protowire.ParseError(n)
			}
			message = message[n:]
			continue
		}
		part, n := protowire.ConsumeBytes(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err := f(number, part); err != nil {
			return err
		}
		message = message[n:]
	}
	return nil
}
