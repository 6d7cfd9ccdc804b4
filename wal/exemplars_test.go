package wal_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/wal"
)

// aloneAppender is how our receiver appends exemplars that come without a sample.
type aloneAppender interface {
	AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error)
}

func TestExemplarsAreKeptWithoutASampleAlsoOfASeriesThatNeverHadOne(t *testing.T) {
	c := newClock()
	l := openLog(t, logDir(t), wal.Options{Now: c.Now, SegmentAge: time.Minute})
	holdBack(t, l)
	now := c.Now().UnixMilli()
	one := func(id string, ts int64) exemplar.Exemplar {
		return exemplar.Exemplar{Labels: labels.FromStrings("id", id), Value: 1, Ts: ts, HasTs: true}
	}
	alone := func(app storage.AppenderV2, i int, es ...exemplar.Exemplar) error {
		_, err := app.(aloneAppender).AppendExemplars(0, metric(i), es)
		return err
	}
	app := l.AppenderV2(t.Context())
	// The first item of a record gives the time to which the others are relative, and it is an
	// exemplar.
	require.NoError(t, alone(app, 1, one("a", now+1)))
	_, err := app.Append(0, metric(2), 0, now, 1, nil, nil, storage.AOptions{})
	require.NoError(t, err)
	require.NoError(t, alone(app, 2, one("b", now+2)))
	require.NoError(t, app.Commit())

	c.pass(2 * time.Minute)
	app = l.AppenderV2(t.Context())
	require.NoError(t, alone(app, 1, one("a", now+1), one("c", now+3)), "a repetition is passed over")
	require.NoError(t, alone(app, 3, one("d", now+4)))
	require.NoError(t, app.Commit())

	app = l.AppenderV2(t.Context())
	require.ErrorIs(t, alone(app, 1, one("a", now)), &storage.AppendPartialError{})
	require.ErrorIs(t, alone(app, 1, exemplar.Exemplar{Labels: labels.FromStrings("id", strings.Repeat("x", 200))}), &storage.AppendPartialError{})
	_, err = app.(aloneAppender).AppendExemplars(0, labels.EmptyLabels(), nil)
	require.Error(t, err)
	require.NoError(t, app.Rollback())

	// While an appender is open its series are not forgotten, whatever the others do.
	app = l.AppenderV2(t.Context())
	require.NoError(t, alone(app, 4, one("e", now+5)))
	c.pass(90 * time.Second)
	commitFloats(t, l, 1, c.Now().UnixMilli())
	require.NoError(t, app.Commit())

	v, lost := readAll(t, l)
	require.Zero(t, lost)
	require.Len(t, v.Samples, 2)
	var got []string
	for _, x := range v.Exemplars {
		got = append(got, fmt.Sprint(x.Series, x.Labels, x.T-now))
	}
	require.Equal(t, []string{
		metric(1).String() + `{id="a"}1`, metric(2).String() + `{id="b"}2`, metric(1).String() + `{id="c"}3`, metric(3).String() + `{id="d"}4`,
		metric(4).String() + `{id="e"}5`,
	}, got)
}

func TestAClosedLogIsAClosedFileToThoseWhoKnowNoLog(t *testing.T) {
	require.ErrorIs(t, wal.ErrClosed, fs.ErrClosed)
}
