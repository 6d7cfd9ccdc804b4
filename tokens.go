package ringmaster

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"

	"go.uber.org/zap"

	"github.com/ringmaster-agent/ringmaster/cluster/ring"
)

// tokensFile is what a node keeps of its places on the ring. Grafana Agent wrote the same without a
// node.
type tokensFile struct {
	// Node is whose tokens they are. A host that was cloned would otherwise take the places of the
	// one that it is a copy of.
	Node   string   `json:"node,omitempty"`
	Tokens []uint32 `json:"tokens"`
}

// OwnTokens returns n places on the ring, sorted: those that the file has for the node, so that a
// restart moves nothing, and new ones for what is missing. The file has them afterwards; if that
// can't be, the log says so.
func OwnTokens(path, node string, n int, logger *zap.Logger) []uint32 {
	logger = logger.With(zap.String("node", node), zap.String("file", path))
	before, err := readTokens(path, node)
	if err != nil {
		logger.Warn("cannot use this node's saved ring tokens; it gets new ones, and other configs than before", zap.Error(err))
	}
	tokens := fitTokens(before, n)
	if slices.Equal(tokens, before) {
		return tokens
	}
	if err := writeTokens(path, tokensFile{Node: node, Tokens: tokens}); err != nil {
		logger.Warn("cannot save this node's ring tokens; after a restart it gets new ones, and other configs", zap.Error(err))
	}
	return tokens
}

// fitTokens takes as many of the tokens as there shall be, and adds new ones if there are not
// enough. Which ones are given up is random: the ring would be uneven without the highest.
func fitTokens(tokens []uint32, n int) []uint32 {
	if len(tokens) > n {
		tokens = slices.Clone(tokens)
		rand.Shuffle(len(tokens), func(i, j int) { tokens[i], tokens[j] = tokens[j], tokens[i] })
		tokens = tokens[:n]
	}
	taken := make(map[uint32]bool, len(tokens))
	for _, token := range tokens {
		taken[token] = true
	}
	return slices.Sorted(slices.Values(append(ring.NewTokens(n-len(tokens), taken, rand.Uint32), tokens...)))
}

// readTokens returns the node's tokens, sorted; none if there is no file. An error if they are not
// sound, or another node's.
func readTokens(path, node string) ([]uint32, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read tokens: %w", err)
	}
	var file tokensFile
	if err := json.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read tokens: the file is damaged: %w", err)
	}
	slices.Sort(file.Tokens)
	switch {
	case len(file.Tokens) == 0:
		return nil, errors.New("read tokens: the file has none")
	case len(slices.Compact(slices.Clone(file.Tokens))) < len(file.Tokens):
		return nil, errors.New("read tokens: the file has one twice")
	case file.Node != "" && file.Node != node:
		return nil, fmt.Errorf("read tokens: they are those of node %q", file.Node)
	}
	return file.Tokens, nil
}

// writeTokens replaces the file as a whole.
func writeTokens(path string, file tokensFile) (err error) {
	text, err := json.Marshal(file)
	if err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write tokens: %w", err)
	}
	_, err = temporary.Write(text)
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err == nil {
		err = os.Rename(temporary.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write tokens: %w", errors.Join(err, os.Remove(temporary.Name())))
	}
	return nil
}
