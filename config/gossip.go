package config

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"

	promcommon "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

// Gossip is how nodes learn from each other who is alive.
type Gossip struct {
	Enabled bool `yaml:"enabled"`
	// ListenAddress is host:port, for TCP and UDP; empty: the host of the HTTP listener and a free
	// port.
	ListenAddress string `yaml:"listen_address"`
	// AdvertiseAddress is the host:port that others are told; empty: what it listens on.
	AdvertiseAddress string `yaml:"advertise_address"`
	// Join are host:port of some members. May be empty: members find each other through the store.
	Join []string `yaml:"join"`
	// EncryptionKey is empty, or what ParseGossipKey takes. At most one of it and EncryptionKeyFile
	// is given.
	EncryptionKey promcommon.Secret `yaml:"encryption_key"`
	// EncryptionKeyFile holds what ParseGossipKey takes. Absolute, or relative to the working
	// directory.
	EncryptionKeyFile string `yaml:"encryption_key_file"`
	// Label keeps clusters apart that could reach each other; at most maxGossipLabel bytes.
	Label string `yaml:"label"`
}

// maxGossipLabel is memberlist's limit.
const maxGossipLabel = 255

// ParseGossipKey reads a key of 16, 24 or 32 bytes in hexadecimal or padded base64, with or without
// white space around it. Text that could be both is taken for hexadecimal, which base64 of random
// bytes never looks like. The error does not repeat the text.
func ParseGossipKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){
		hex.DecodeString, base64.StdEncoding.DecodeString, base64.URLEncoding.DecodeString,
	} {
		if key, err := decode(text); err == nil && (len(key) == 16 || len(key) == 24 || len(key) == 32) {
			return key, nil
		}
	}
	return nil, errors.New("this is not a key: it needs 16, 24 or 32 bytes, written in base64 or hexadecimal")
}

func (d *document) gossip(n *yaml.Node, g Gossip) {
	d.hostPort(n, "listen_address", g.ListenAddress, listenedOn)
	d.hostPort(n, "advertise_address", g.AdvertiseAddress, reached)
	for _, item := range d.items(child(n, "join")) {
		if problem := addressProblem(item.Value, reached); problem != "" {
			d.fail(item, problem, reached.hint())
		}
	}
	const generate = "make one with: openssl rand -base64 32"
	if where, ok := at(n, "encryption_key"); ok && !d.bad[where] {
		if _, err := ParseGossipKey(string(g.EncryptionKey)); err != nil {
			d.fail(where, err.Error(), generate)
		}
	}
	if where, ok := at(n, "encryption_key_file"); ok && g.EncryptionKey != "" {
		d.fail(where, "encryption_key and encryption_key_file exclude each other", "keep one of the two")
	} else if ok && g.EncryptionKeyFile == "" {
		d.fail(where, "the name of the file is empty", "leave the key out to send in plain text")
	}
	if where, ok := at(n, "label"); ok && len(g.Label) > maxGossipLabel {
		d.fail(where, "the label is longer than 255 bytes", "shorten it")
	}
}
