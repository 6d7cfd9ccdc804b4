package scrape

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/prometheus/prometheus/model/labels"
	promscrape "github.com/prometheus/prometheus/scrape"
)

// The labels that choose for one target what its job chooses for all.
const (
	nativeHistogramsLabel  = "__scrape_native_histograms__"
	classicHistogramsLabel = "__always_scrape_classic_histograms__"
	convertToNHCBLabel     = "__convert_classic_histograms_to_nhcb__"
)

// errLocalSocket is what every scrape of a target behind a socket says if there may be none.
var errLocalSocket = errors.New("an uploaded config may not reach local sockets: " + promscrape.UnixSocketLabel + " needs scraping_service.allow_ambient_credentials")

// target is one endpoint of a job. Immutable.
type target struct {
	id       uint64        // of labels and URL; equal on all nodes of a cluster
	labels   labels.Labels // after relabelling, reserved ones included
	url      *url.URL
	urlErr   error
	text     string // of the URL, as it is shown
	socket   string // path, if it is behind a unix socket
	interval time.Duration
	timeout  time.Duration

	native, classic, convert bool // histograms

	// What it was made of, for display only.
	own, group model.LabelSet
}

// targetsOf builds the targets of a group. A target without public labels was dropped by relabelling.
func targetsOf(group *targetgroup.Group, j *job, builder *labels.Builder) (found []*target, dropped int, errs []error) {
	for _, own := range group.Targets {
		if group.Source == relabelledSource {
			found = append(found, relabelled(own, j, builder))
			continue
		}
		ls, err := promscrape.PopulateLabels(builder, j.config, own, group.Labels)
		switch {
		case err != nil:
			errs = append(errs, err)
		case !hasPublic(ls):
			dropped++
		default:
			found = append(found, newTarget(ls, j, own, group.Labels))
		}
	}
	return found, dropped, errs
}

func hasPublic(ls labels.Labels) (found bool) {
	ls.Range(func(l labels.Label) { found = found || !isReserved(l.Name) })
	return found
}

func isReserved(name string) bool { return strings.HasPrefix(name, model.ReservedLabelPrefix) }

func newTarget(ls labels.Labels, j *job, own, group model.LabelSet) *target {
	address := promscrape.NewTarget(ls, j.config, own, group).URL().String()
	t := &target{
		id:      identify(ls, address),
		labels:  ls,
		socket:  ls.Get(promscrape.UnixSocketLabel),
		text:    address,
		native:  choose(ls, nativeHistogramsLabel, j.config.ScrapeNativeHistogramsEnabled()),
		classic: choose(ls, classicHistogramsLabel, j.config.AlwaysScrapeClassicHistogramsEnabled()),
		convert: choose(ls, convertToNHCBLabel, j.config.ConvertClassicHistogramsToNHCBEnabled()),
		own:     own,
		group:   group,
	}
	if t.url, t.urlErr = url.Parse(address); t.urlErr == nil && t.url.Port() == "" {
		t.url.Host = strings.TrimSuffix(t.url.Host, ":") // as http.NewRequest does
	}
	if t.socket != "" && !j.options.LocalSockets {
		t.text, t.urlErr = address, errLocalSocket
	}
	// Building the labels has validated both.
	interval, _ := model.ParseDuration(ls.Get(model.ScrapeIntervalLabel))
	timeout, _ := model.ParseDuration(ls.Get(model.ScrapeTimeoutLabel))
	t.interval, t.timeout = time.Duration(interval), time.Duration(timeout)
	t.boundInterval(address, j.options.MinInterval)
	return t
}

// maxInterval keeps the arithmetic of schedules far from its ends.
const maxInterval = 365 * 24 * time.Hour

// boundInterval makes a target fail, at a bearable pace, whose labels ask for another one.
func (t *target) boundInterval(address string, least time.Duration) {
	bounded := min(max(t.interval, least), maxInterval)
	if bounded == t.interval {
		return
	}
	t.text, t.urlErr = address, fmt.Errorf("the scrape interval %s is not between %s and %s", t.interval, least, maxInterval)
	t.interval, t.timeout = bounded, min(t.timeout, bounded)
}

// identify hashes labels and URL. The result must never change between versions: it is part of the
// schedule.
func identify(ls labels.Labels, address string) uint64 {
	h := fnv.New64a()
	var length [8]byte
	write := func(s string) {
		binary.LittleEndian.PutUint64(length[:], uint64(len(s)))
		_, _ = h.Write(length[:])
		_, _ = h.Write([]byte(s))
	}
	ls.Range(func(l labels.Label) {
		write(l.Name)
		write(l.Value)
	})
	write(address)
	return mix(h.Sum64())
}

// mix spreads a hash over all bits: the place in the interval is a remainder of it.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// kin identifies the target whatever its interval and timeout.
func (t *target) kin() uint64 {
	builder := labels.NewBuilder(t.labels)
	return identify(builder.Del(model.ScrapeIntervalLabel, model.ScrapeTimeoutLabel).Labels(), t.address())
}

func choose(ls labels.Labels, name string, byDefault bool) bool {
	if chosen, err := strconv.ParseBool(ls.Get(name)); err == nil {
		return chosen
	}
	return byDefault
}

// address is the URL as text, also of a target whose URL makes no sense.
func (t *target) address() string { return t.text }
