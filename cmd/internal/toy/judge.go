package toy

import "time"

// learnFrom is how many scrapes of a target its schedule is learned from.
const learnFrom = 5

// Judge counts the ticks of targets that are scraped at one interval, as the targets themselves see
// them. It belongs to one goroutine.
type Judge struct {
	// Interval is that of all targets, Patience how long after it is due a tick is judged: one that
	// can't be taken is made up for within its interval.
	Interval, Patience time.Duration
	// Late is how long after a tick is due the two scrapes may come of which the first was meant for
	// the tick before, if that has none. It is for machines that may have no time for a while; zero:
	// as JitterOfArrivals.
	Late time.Duration
	// Due, Missed and Doubled are the ticks so far.
	Due, Missed, Doubled int

	learned map[string]Schedule
	judged  map[string]time.Time // until when
}

// Until judges the ticks of a target until an instant, by when its scrapes arrived.
func (j *Judge) Until(name string, arrivals []time.Time, now time.Time) {
	if j.learned == nil {
		j.learned, j.judged = map[string]Schedule{}, map[string]time.Time{}
	}
	schedule, known := j.learned[name]
	if !known {
		if len(arrivals) < learnFrom {
			return
		}
		if schedule, known = LearnSchedule(j.Interval, arrivals); !known {
			return
		}
		j.learned[name], j.judged[name] = schedule, arrivals[0].Add(-j.Interval/10)
	}
	until := now.Add(-j.Patience)
	jitter := JitterOfArrivals(j.Interval)
	jitter.Late = max(jitter.Late, j.Late)
	found := schedule.Account(arrivals, j.judged[name], until, jitter)
	j.Due += found.Due
	j.Missed += len(found.Missed)
	j.Doubled += len(found.Doubled)
	j.judged[name] = until
}
