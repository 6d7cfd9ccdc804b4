package wal

import "time"

// SealedSegment is a segment with one record of any payload and flags, with all checksums right.
func SealedSegment(number, firstSeq uint64, samples, flags uint32, payload []byte) []byte {
	h := segmentHeader{number: number, firstSeq: firstSeq, created: time.Unix(1, 0), salt: 7}
	record := append(make([]byte, recordHeaderSize), payload...)
	recordHeader{length: uint32(len(payload)), seq: firstSeq, samples: samples, flags: flags, base: 1000, checksum: checksum(payload)}.put(record, h.salt)
	return append(h.bytes(), record...)
}

// SegmentFileName is the name of a segment's file.
func SegmentFileName(number, firstSeq uint64) string { return segmentName(number, firstSeq) }

// Definitions is the block that defines a series under a number, as records of version 2 begin.
func Definitions(number uint64, encoded []byte) []byte {
	var d definitions
	d.series(number, encoded)
	return d.appendTo(nil)
}
