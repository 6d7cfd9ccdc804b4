package remotewrite

import (
	"fmt"

	remoteapi "github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/prometheus/storage/remote"
)

// protocol is one version of remote write. Its functions take batches that were made with it.
type protocol struct {
	version, contentType string
	// newEncoder makes an encoder for a lane.
	newEncoder func() encoder
	// labelsOf returns the labels of an item of an uncompressed batch, encoded as in protocol 1.0.
	labelsOf func(b *batch, i int) []byte
	// cut returns the uncompressed body that holds only the items of p that aren't gone.
	cut func(b *batch, p part) []byte
	// concatenates: the bodies of several batches, one behind the other, are a valid body with the
	// items of all.
	concatenates bool
	// attaches: an exemplar is part of its sample's item.
	attaches bool
	// confirms: an answer says how many items were written.
	confirms bool
}

func protocolOf(message remoteapi.WriteMessageType) (*protocol, error) {
	switch message {
	case "", remoteapi.WriteV1MessageType:
		return protocol1(), nil
	case remoteapi.WriteV2MessageType:
		return protocol2(), nil
	default:
		return nil, fmt.Errorf("protobuf_message %s is not supported", message)
	}
}

func protocol1() *protocol {
	return &protocol{
		version: remote.RemoteWriteVersion1HeaderValue, contentType: "application/x-protobuf",
		newEncoder: func() encoder { return &encoder1{} },
		labelsOf:   func(b *batch, i int) []byte { return labels1(b.item(i)) },
		cut: func(b *batch, p part) []byte {
			var raw []byte
			b.each(p, func(i int) { raw = append(raw, b.item(i)...) })
			return raw
		},
		concatenates: true,
	}
}
