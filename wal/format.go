package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// A segment is a file named "<number>-<first Seq>.seg", both decimal: the directory listing alone
// says what is there. It starts with a header of 48 bytes, followed by records without padding.
// Fixed-size numbers are little-endian, "uvarint" and "varint" (zigzag) are those of
// encoding/binary, a string is its length as uvarint and its bytes. Checksums are CRC-32C.
//
//	segment header            record header
//	 0 magic       u32         0 magic          u32
//	 4 version     u16         4 payload length u32
//	 6 reserved    u16         8 Seq            u64  samples committed before this record, ever
//	 8 number      u64        16 samples        u32  floats and histograms in the record
//	16 reserved    u64        20 flags          u32  bit 0: has definitions; bit 1: of version 2
//	24 first Seq   u64        24 base time      i64  ms; times in the payload are relative to it
//	32 created     i64 ms     32 checksum of the payload
//	40 salt        u32        36 checksum of bytes 0..35, XOR salt
//	44 checksum of 0..43      40 payload
//
// The record header has a checksum of its own so that Open can hop from header to header without
// reading payloads, and so that the number of samples in a record with a damaged payload is known.
// The salt is random per segment: bytes that a target chose (a label value) or that an older file
// left on the disk can't pass for a record when a reader looks for the next one behind a damaged
// place. If the segment header is damaged, the salt is found again from the first record whose
// payload verifies.
//
// A series has a number in its segment. Numbers count from 1 and mean one series only.
//
// A payload is the definitions, if there are any, and then a sequence of items that each start with
// a tag byte. Definitions are uvarint size, uvarint compressed size, and so many bytes: a block of
// S2, or the definitions as they are if the compressed size is 0. They are a sequence of
//
//	0x80 series     place, uvarint size, labels in the form of package series
//	0x81 metadata   place, strings type, unit, help
//	0x82 metadata   place; the same as the last metadata in this record
//	0x86 ended      place; the number does not occur any more
//
// where place is varint number - (the last number here + 1). The items are
//
//	0x83 histogram  place, content (see histogram.go)
//	0x84 float histogram, likewise
//	0x85 exemplar   varint number - that of the last sample, byte (1: has a timestamp), varint time - base,
//	                value u64, labels: uvarint how many, then name and value strings
//	0x00-0x78       float: bits 0-3 n, bits 4-6 place flags, place, then the n first bytes of the
//	                value, big-endian; the rest is 0
//
// The place of a sample: flag 0x10 says the number is that of the last sample plus one, otherwise
// varint number - (last + 1); flag 0x20 that the time is the base time, otherwise varint time -
// base; flag 0x40 that a varint time - start time follows. Tags of histograms are followed by a
// byte with the place flags.
//
// In records of version 1 definitions are not compressed and stand before the items, with uvarint
// number in place of place; 0x80 has labels as an exemplar has them.
const (
	segmentMagic      = 0x47_53_57_52 // "RWSG"
	recordMagic       = 0xc3_a7_e1_9d // no ASCII, no UTF-8 sequence
	formatVersion     = 2
	oldestVersion     = 1
	segmentHeaderSize = 48
	recordHeaderSize  = 40

	flagDefinitions = 1 << 0
	flagVersion2    = 1 << 1

	tagSeries         = 0x80
	tagMetadata       = 0x81
	tagMetadataAgain  = 0x82
	tagHistogram      = 0x83
	tagFloatHistogram = 0x84
	tagExemplar       = 0x85
	tagEnded          = 0x86

	placeNext  = 0x10
	placeBase  = 0x20
	placeStart = 0x40
	placeMask  = placeNext | placeBase | placeStart

	// maxPayload bounds one commit. The limits of a scrape are far below it.
	maxPayload    = 1 << 30
	segmentSuffix = ".seg"
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

type segmentHeader struct {
	number   uint64
	firstSeq uint64
	created  time.Time
	salt     uint32
}

func (h segmentHeader) bytes() []byte {
	b := make([]byte, segmentHeaderSize)
	binary.LittleEndian.PutUint32(b, segmentMagic)
	binary.LittleEndian.PutUint16(b[4:], formatVersion)
	binary.LittleEndian.PutUint64(b[8:], h.number)
	binary.LittleEndian.PutUint64(b[24:], h.firstSeq)
	binary.LittleEndian.PutUint64(b[32:], uint64(h.created.UnixMilli()))
	binary.LittleEndian.PutUint32(b[40:], h.salt)
	binary.LittleEndian.PutUint32(b[44:], checksum(b[:44]))
	return b
}

func parseSegmentHeader(b []byte) (h segmentHeader, ok bool) {
	if len(b) < segmentHeaderSize ||
		binary.LittleEndian.Uint32(b) != segmentMagic ||
		binary.LittleEndian.Uint16(b[4:]) > formatVersion || binary.LittleEndian.Uint16(b[4:]) < oldestVersion ||
		binary.LittleEndian.Uint32(b[44:]) != checksum(b[:44]) {
		return h, false
	}
	return segmentHeader{
		number:   binary.LittleEndian.Uint64(b[8:]),
		firstSeq: binary.LittleEndian.Uint64(b[24:]),
		created:  time.UnixMilli(int64(binary.LittleEndian.Uint64(b[32:]))),
		salt:     binary.LittleEndian.Uint32(b[40:]),
	}, true
}

type recordHeader struct {
	length   uint32 // of the payload
	seq      uint64
	samples  uint32
	flags    uint32
	base     int64 // ms
	checksum uint32
}

// size is the number of bytes of the whole record.
func (h recordHeader) size() int64 { return recordHeaderSize + int64(h.length) }

// end is the Seq behind the record.
func (h recordHeader) end() uint64 { return h.seq + uint64(h.samples) }

// put writes the header to the first recordHeaderSize bytes of b.
func (h recordHeader) put(b []byte, salt uint32) {
	binary.LittleEndian.PutUint32(b, recordMagic)
	binary.LittleEndian.PutUint32(b[4:], h.length)
	binary.LittleEndian.PutUint64(b[8:], h.seq)
	binary.LittleEndian.PutUint32(b[16:], h.samples)
	binary.LittleEndian.PutUint32(b[20:], h.flags)
	binary.LittleEndian.PutUint64(b[24:], uint64(h.base))
	binary.LittleEndian.PutUint32(b[32:], h.checksum)
	binary.LittleEndian.PutUint32(b[36:], checksum(b[:36])^salt)
}

// parseRecordHeader reads a header from the first recordHeaderSize bytes of b. It returns the salt
// with which the header verifies; only the caller knows whether that is the segment's.
func parseRecordHeader(b []byte) (h recordHeader, salt uint32, ok bool) {
	if binary.LittleEndian.Uint32(b) != recordMagic {
		return h, 0, false
	}
	h = recordHeader{
		length:   binary.LittleEndian.Uint32(b[4:]),
		seq:      binary.LittleEndian.Uint64(b[8:]),
		samples:  binary.LittleEndian.Uint32(b[16:]),
		flags:    binary.LittleEndian.Uint32(b[20:]),
		base:     int64(binary.LittleEndian.Uint64(b[24:])),
		checksum: binary.LittleEndian.Uint32(b[32:]),
	}
	return h, binary.LittleEndian.Uint32(b[36:]) ^ checksum(b[:36]), h.length > 0 && h.length <= maxPayload && h.end() >= h.seq
}

func segmentName(number, firstSeq uint64) string {
	return fmt.Sprintf("%08d-%012d%s", number, firstSeq, segmentSuffix)
}

func parseSegmentName(name string) (number, firstSeq uint64, ok bool) {
	stem, ok := strings.CutSuffix(name, segmentSuffix)
	if !ok {
		return 0, 0, false
	}
	n, seq, ok := strings.Cut(stem, "-")
	if !ok {
		return 0, 0, false
	}
	number, err1 := strconv.ParseUint(n, 10, 63)
	firstSeq, err2 := strconv.ParseUint(seq, 10, 63)
	return number, firstSeq, err1 == nil && err2 == nil && segmentName(number, firstSeq) == name
}
