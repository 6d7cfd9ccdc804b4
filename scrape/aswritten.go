package scrape

import (
	"bytes"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"
)

// readLabels gets the labels of the series that a parser stands at into in.labels. Prometheus'
// parsers write le="1" and quantile="1" as 1.0; a job that wants them as the target wrote them gets
// those.
func (in *ingester) readLabels(p textparse.Parser) {
	p.Labels(&in.labels)
	if !in.job.labelsAsWritten {
		return
	}
	if _, protobuf := p.(*textparse.ProtobufParser); protobuf {
		return // which has numbers, not text
	}
	for _, name := range []string{model.BucketLabel, model.QuantileLabel} {
		normalized := in.labels.Get(name)
		if normalized == "" {
			continue
		}
		series, _, _ := p.Series()
		if written, ok := labelIn(series, name); ok && written != normalized {
			in.labels = labels.NewBuilder(in.labels).Set(name, written).Labels()
		}
	}
}

// labelIn finds the value of a label in a series as text has it: name{a="b",c="d"}, with names and
// values in quotes or not.
func labelIn(series []byte, name string) (value string, ok bool) {
	_, rest, found := bytes.Cut(series, []byte("{"))
	for found {
		rest = bytes.TrimLeft(rest, ", \t")
		var key string
		if len(rest) > 0 && rest[0] == '"' {
			if key, rest, ok = quoted(rest); !ok {
				return "", false
			}
		} else {
			end := bytes.IndexAny(rest, "= \t}")
			if end < 0 {
				return "", false
			}
			key, rest = string(rest[:end]), rest[end:]
		}
		rest = bytes.TrimLeft(rest, " \t")
		if len(rest) == 0 || rest[0] == '}' {
			return "", false
		}
		if rest[0] != '=' {
			continue // the name of a metric stands alone
		}
		if value, rest, ok = quoted(bytes.TrimLeft(rest[1:], " \t")); !ok {
			return "", false
		}
		if key == name {
			return value, true
		}
	}
	return "", false
}

// quoted reads a string in double quotes and returns what is behind it.
func quoted(text []byte) (value string, rest []byte, ok bool) {
	if len(text) == 0 || text[0] != '"' {
		return "", nil, false
	}
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			i++
		case '"':
			return strings.NewReplacer(`\\`, `\`, `\"`, `"`, `\n`, "\n").Replace(string(text[1:i])), text[i+1:], true
		}
	}
	return "", nil, false
}
