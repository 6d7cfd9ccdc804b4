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
	// bodyOf returns the uncompressed body that holds only the given items of b, which are encoded
	// one behind the other.
	bodyOf func(b *batch, items []byte) []byte
	// tabled: items refer to a table of strings that precedes them. Without one, the bodies of
	// several batches, one behind the other, are a body with the items of all.
	tabled bool
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
		bodyOf:     func(_ *batch, items []byte) []byte { return items },
	}
}
