package scrape

import (
	"context"
	"errors"
	"time"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
)

// Pushed is the way into the instance's appendable for samples that were pushed: they are counted
// against its budget as those that are scraped. Errors about the budget have a method RetryAfter.
func (s *Scraper) Pushed() storage.AppendableV2 { return pushed{s} }

type pushed struct{ *Scraper }

// AppenderV2 implements storage.AppendableV2.
func (p pushed) AppenderV2(ctx context.Context) storage.AppenderV2 {
	return &pushedAppender{AppenderV2: p.options.Appendable.AppenderV2(ctx), scraper: p.Scraper}
}

type pushedAppender struct {
	storage.AppenderV2
	scraper *Scraper
	taken   int
}

// Append implements storage.AppenderV2.
func (a *pushedAppender) Append(
	ref storage.SeriesRef, ls labels.Labels, st, t int64,
	v float64, h *histogram.Histogram, fh *histogram.FloatHistogram, opts storage.AOptions,
) (storage.SeriesRef, error) {
	if err := a.allowed(ref, ls); err != nil {
		a.scraper.meter.note(err, time.Now())
		return 0, err
	}
	a.taken++
	return a.AppenderV2.Append(ref, ls, st, t, v, h, fh, opts)
}

// exemplarAppender is an appender that takes exemplars without a sample.
type exemplarAppender interface {
	AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error)
}

// AppendExemplars appends exemplars that come without a sample. The error is errors.ErrUnsupported
// if the instance's appendable takes none.
func (a *pushedAppender) AppendExemplars(ref storage.SeriesRef, ls labels.Labels, exemplars []exemplar.Exemplar) (storage.SeriesRef, error) {
	app, ok := a.AppenderV2.(exemplarAppender)
	if !ok {
		return 0, errors.ErrUnsupported
	}
	if err := a.allowed(ref, ls); err != nil {
		a.scraper.meter.note(err, time.Now())
		return 0, err
	}
	return app.AppendExemplars(ref, ls, exemplars)
}

func (a *pushedAppender) allowed(ref storage.SeriesRef, ls labels.Labels) error {
	if a.taken == 0 {
		if err := a.scraper.meter.admit(time.Now()); err != nil {
			return err
		}
	}
	if ref != 0 {
		return nil
	}
	err := a.scraper.meter.room()
	if err == nil {
		return nil
	}
	book := a.scraper.options.Book
	if known := book.Find(ls); known != 0 {
		book.Release(known)
		return nil
	}
	return err
}

// Commit implements storage.AppenderTransaction.
func (a *pushedAppender) Commit() error {
	err := a.AppenderV2.Commit()
	if err == nil {
		a.scraper.meter.spend(a.taken)
	}
	return err
}
