package scrape

import (
	"context"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/common/model"
	promconfig "github.com/prometheus/prometheus/config"
	"github.com/prometheus/prometheus/discovery"
	"github.com/prometheus/prometheus/discovery/targetgroup"
	"github.com/stretchr/testify/require"
)

// reporting has a discovery report an update, and waits until it is taken or refused.
func reporting(sd *countedDiscovery, groups ...*targetgroup.Group) {
	sd.groups <- groups
	synctest.Wait()
}

// instances are the labels instance of the targets.
func instances(s *Scraper) []string {
	found := []string{}
	for _, target := range s.Targets() {
		found = append(found, target.Labels.Get("instance"))
	}
	return found
}

// withDiscoveries prepares a scraper with these discoveries and limits, in virtual time.
func withDiscoveries(t *testing.T, budget Budget, sd ...discovery.Config) *Scraper {
	t.Helper()
	s := newScraper(t, newMemory())
	c := fromOrigin(t, "one", sd...)
	c.Budget = budget
	require.NoError(t, s.Apply(t.Context(), c))
	synctest.Wait()
	return s
}

func TestAnUpdateThatFindsTooMuchIsRefusedWholeAndWhatWasFoundStays(t *testing.T) {
	large := group("x", "3:1")
	large.Labels = model.LabelSet{"l": model.LabelValue(strings.Repeat("x", 1000))}
	gone := &targetgroup.Group{Source: "y", Labels: large.Labels}
	for name, of := range map[string]struct {
		budget  Budget
		update  []*targetgroup.Group
		limit   string
		message string
	}{
		"targets in one update": {
			Budget{DiscoveredTargets: 3}, []*targetgroup.Group{group("x", "1:1", "2:1", "3:1", "4:1")}, overDiscoveredTargets,
			"service discovery has found 4 targets, 3 are allowed",
		},
		"targets of all updates": {
			Budget{DiscoveredTargets: 3}, []*targetgroup.Group{group("x", "3:1", "4:1")}, overDiscoveredTargets,
			"service discovery has found 4 targets, 3 are allowed",
		},
		"labels of a group": {
			Budget{DiscoveredBytes: 1000}, []*targetgroup.Group{group("y", "3:1"), large}, overDiscoveredBytes,
			"bytes, 1000 are allowed",
		},
		"labels of all groups": {
			Budget{DiscoveredBytes: 1300}, []*targetgroup.Group{large}, overDiscoveredBytes, "bytes, 1300 are allowed",
		},
		"labels of a group that is empty": {
			Budget{DiscoveredBytes: 1000}, []*targetgroup.Group{gone}, overDiscoveredBytes, "bytes, 1000 are allowed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sd := newCountedDiscovery()
				s := withDiscoveries(t, of.budget, sd)
				reporting(sd, group("a", "1:1", "2:1"))
				reporting(sd, of.update...)
				require.Equal(t, []string{"1:1", "2:1"}, instances(s))
				require.Equal(t, uint64(1), refusalOf(s, of.limit).Count)
				require.Contains(t, refusalOf(s, of.limit).Message, of.limit+" exceeded: ")
				require.Contains(t, refusalOf(s, of.limit).Message, of.message)
				require.Zero(t, sd.running.Load(), "what it keeps itself is given up, too")
			})
		})
	}
}

// A discovery that reports only what has changed would never report again what was refused, and
// what is gone by then.
func TestADiscoveryThatWasRefusedIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 3}, sd)
		reporting(sd, group("a", "1:1"), group("b", "2:1"))
		reporting(sd, group("c", "3:1", "4:1"))
		<-time.After(askAgainAfter)
		synctest.Wait()
		require.Equal(t, int32(2), sd.begun.Load())
		reporting(sd, group("d", "5:1", "6:1", "7:1"))
		require.Equal(t, []string{"1:1", "2:1"}, instances(s), "they may only be late")
		reporting(sd, group("e", "8:1"))
		require.Equal(t, []string{"1:1", "2:1", "5:1"}, instances(s), "what fits beside them")
		require.Equal(t, uint64(2), refusalOf(s, overDiscoveredTargets).Count)

		<-time.After(askAgainAfter)
		synctest.Wait()
		reporting(sd, group("b", "2:1"))
		reporting(sd, group("f", "9:1", "10:1"))
		require.Equal(t, []string{"1:1", "2:1", "5:1"}, instances(s))
		<-time.After(freshAfter)
		synctest.Wait()
		require.Equal(t, []string{"10:1", "2:1", "9:1"}, instances(s), "a and d are gone")
		reporting(sd, group("b"))
		require.Equal(t, []string{"10:1", "9:1"}, instances(s), "from now on it is followed as before")
		require.Equal(t, int32(3), sd.begun.Load())
	})
}

// startedAgain waits until a discovery that was refused is started again.
func startedAgain() {
	<-time.After(askAgainAfter)
	synctest.Wait()
}

func TestWhatFitsOfADiscoveryThatStaysTooLargeReplacesWhatIsGone(t *testing.T) {
	one := func(instances ...string) (updates [][]*targetgroup.Group) { // an update for each
		for _, instance := range instances {
			updates = append(updates, []*targetgroup.Group{group(instance, instance)})
		}
		return updates
	}
	for name, of := range map[string]struct {
		before, after [][]*targetgroup.Group
		rest          Budget
	}{
		"each in an update": {
			one("1:1", "2:1", "3:1"), one("5:1", "6:1", "7:1", "8:1"), Budget{DiscoveredTargets: 3},
		},
		"groups in one update": {
			one("1:1", "2:1", "3:1"),
			[][]*targetgroup.Group{{group("e", "5:1"), group("f", "6:1"), nil, group("g", "7:1"), group("h", "8:1")}},
			Budget{DiscoveredTargets: 3},
		},
		"one group": {
			[][]*targetgroup.Group{{group("all", "1:1", "2:1", "3:1")}},
			[][]*targetgroup.Group{{group("all", "8:1", "6:1", "7:1", "5:1")}},
			Budget{DiscoveredTargets: 3},
		},
		"a group by its size": {
			[][]*targetgroup.Group{{group("all", "1:1", "2:1", "3:1")}},
			[][]*targetgroup.Group{{group("all", "8:1", "6:1", "7:1", "5:1")}},
			Budget{DiscoveredBytes: 3*sizeOf(group("", "1:1")).bytes + 1},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sd := newCountedDiscovery()
				s := withDiscoveries(t, of.rest, sd)
				for _, update := range of.before {
					reporting(sd, update...)
				}
				reporting(sd, group("x", "4:1"))
				require.Equal(t, []string{"1:1", "2:1", "3:1"}, instances(s))
				for range 1 + freshAfter/askAgainAfter {
					startedAgain()
					for _, update := range of.after {
						reporting(sd, update...)
					}
					require.Zero(t, sd.running.Load())
				}
				require.Equal(t, []string{"5:1", "6:1", "7:1"}, instances(s))
			})
		})
	}
}

// Otherwise other targets would be scraped after each new start, and none for long.
func TestADiscoveryThatStaysTooLargeKeepsItsTargetsWhateverItReportsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 3}, sd)
		all := []*targetgroup.Group{group("a", "1:1"), group("b", "2:1"), group("c", "3:1"), group("d", "4:1")}
		for round := range 20 {
			for i := range all {
				reporting(sd, all[(round+i)%len(all)])
			}
			require.Equal(t, []string{"1:1", "2:1", "3:1"}, instances(s))
			startedAgain()
		}
	})
}

func TestADiscoveryThatStaysTooLargeCutsWhatIsNewFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 5}, sd)
		all := []*targetgroup.Group{group("x", "5:1", "6:1"), group("b", "1:1", "2:1"), group("c", "3:1", "4:1")}
		reporting(sd, all[1], all[2])
		reporting(sd, all[0])
		for round := range 20 {
			startedAgain()
			for i := range all {
				reporting(sd, all[(round+i)%len(all)])
			}
			require.Equal(t, []string{"1:1", "2:1", "3:1", "4:1", "5:1"}, instances(s))
		}
		grown := group("b", "1:1", "2:1", "7:1", "8:1")
		startedAgain()
		reporting(sd, grown)
		reporting(sd, all[2])
		require.Equal(t, []string{"1:1", "2:1", "3:1", "4:1", "5:1"}, instances(s), "x may only be late")
		for range freshAfter / askAgainAfter {
			startedAgain()
			reporting(sd, grown)
			reporting(sd, all[2])
		}
		require.Equal(t, []string{"1:1", "2:1", "3:1", "4:1", "7:1"}, instances(s))
	})
}

func TestADiscoveryThatIsTooLargeFromTheBeginningHasWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 2}, sd)
		reporting(sd, group("a", "3:1", "2:1", "1:1"))
		startedAgain()
		reporting(sd, group("a", "3:1", "2:1", "1:1"))
		require.NoError(t, s.Warm(over()))
		require.Equal(t, []string{"1:1", "2:1"}, instances(s))
	})
}

func TestATargetThatIsReportedLateAfterANewStartStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 4}, sd)
		reporting(sd, group("a", "1:1"), group("b", "2:1"), group("c", "3:1"))
		reporting(sd, group("d", "4:1", "5:1"))
		startedAgain()
		reporting(sd, group("a", "1:1"))
		<-time.After(61 * time.Second)
		synctest.Wait()
		require.Equal(t, []string{"1:1", "2:1", "3:1"}, instances(s))
		reporting(sd, group("b", "2:1"))
		<-time.After(freshAfter)
		synctest.Wait()
		require.Equal(t, []string{"1:1", "2:1"}, instances(s), "c is gone")
	})
}

func TestADiscoveryThatIsSilentForLongAndThenTooLargeKeepsItsTargets(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 1}, sd)
		reporting(sd, group("a", "1:1"))
		reporting(sd, group("b", "2:1"))
		startedAgain()
		<-time.After(2 * freshAfter)
		reporting(sd, group("b", "2:1"))
		reporting(sd, group("a", "1:1"))
		require.Zero(t, sd.running.Load())
		require.Equal(t, []string{"1:1"}, instances(s))
	})
}

func TestANewTargetAfterANewStartIsScrapedAtOnceIfThereIsRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 3}, sd)
		reporting(sd, group("a", "1:1", "2:1"))
		reporting(sd, group("b", "3:1", "4:1"))
		startedAgain()
		reporting(sd, group("c", "5:1", "6:1"), group("d", "7:1"))
		require.Equal(t, []string{"1:1", "2:1", "7:1"}, instances(s))
		<-time.After(freshAfter)
		synctest.Wait()
		require.Equal(t, []string{"5:1", "6:1", "7:1"}, instances(s))
	})
}

// It may be silent because its server is down.
func TestADiscoveryThatSaysNothingAfterANewStartKeepsItsTargets(t *testing.T) {
	for name, ends := range map[string]bool{"and goes on": false, "and ends": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				sd := newEndingDiscovery()
				s := withDiscoveries(t, Budget{DiscoveredTargets: 1}, sd)
				reporting(sd.countedDiscovery, group("a", "1:1"))
				reporting(sd.countedDiscovery, group("b", "2:1"))
				startedAgain()
				if ends {
					close(sd.end)
				}
				<-time.After(24 * time.Hour)
				require.Equal(t, []string{"1:1"}, instances(s))
				if !ends {
					reporting(sd.countedDiscovery, group("b", "2:1"))
					<-time.After(freshAfter)
					synctest.Wait()
					require.Equal(t, []string{"2:1"}, instances(s))
				}
			})
		})
	}
}

// endingDiscovery closes its updates once end is closed.
type endingDiscovery struct {
	*countedDiscovery
	end chan struct{}
}

func newEndingDiscovery() *endingDiscovery {
	return &endingDiscovery{newCountedDiscovery(), make(chan struct{})}
}

func (e *endingDiscovery) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return e, nil
}

func (e *endingDiscovery) Run(ctx context.Context, updates chan<- []*targetgroup.Group) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-e.end:
			cancel()
		case <-ctx.Done():
		}
	}()
	e.countedDiscovery.Run(ctx, updates)
	select {
	case <-e.end:
		close(updates)
	default:
	}
}

func TestAFirstUpdateThatIsRefusedIsNoReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 1}, sd)
		reporting(sd, group("a", "1:1", "2:1"))
		require.ErrorIs(t, s.Warm(over()), context.Canceled)
		<-time.After(askAgainAfter)
		synctest.Wait()
		reporting(sd, group("a", "1:1"))
		require.NoError(t, s.Warm(over()))
		require.Equal(t, []string{"1:1"}, instances(s))
	})
}

func TestTheDiscoveriesOfAConfigShareTheirLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		first, second := newCountedDiscovery(), newCountedDiscovery()
		s := withDiscoveries(t, Budget{DiscoveredTargets: 3}, first, second)
		reporting(first, group("a", "1:1", "2:1"))
		reporting(second, group("a", "3:1"))
		require.Len(t, instances(s), 3)
		reporting(first, group("a", "1:1"))
		reporting(second, group("a", "3:1", "4:1"))
		require.Len(t, instances(s), 3, "there is room again")
		reporting(second, group("b", "5:1"))
		require.Len(t, instances(s), 3)
		require.Equal(t, uint64(1), refusalOf(s, overDiscoveredTargets).Count)
		require.Equal(t, int32(1), first.running.Load(), "another discovery of the config goes on")
	})
}

func TestALowerLimitRefusesNoDecrease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sd := newCountedDiscovery()
		s := withDiscoveries(t, Budget{}, sd)
		reporting(sd, group("a", "1:1", "2:1"), group("b", "3:1"), group("c", "4:1"))
		lower := fromOrigin(t, "one", sd)
		lower.Budget.DiscoveredTargets = 2
		require.NoError(t, s.Apply(t.Context(), lower))
		reporting(sd, group("c"))
		require.Equal(t, []string{"1:1", "2:1", "3:1"}, instances(s))
		require.Empty(t, s.Refusals())
	})
}

// kinds are the configs of all discoveries that are linked, by their key without _sd_configs.
func kinds(t *testing.T) map[string]discovery.Config {
	t.Helper()
	marshalled, err := new(promconfig.ScrapeConfig).MarshalYAML()
	require.NoError(t, err)
	built := reflect.TypeOf(marshalled).Elem() // Prometheus makes it with a field for each discovery
	found := map[string]discovery.Config{}
	for i := range built.NumField() {
		key, _, _ := strings.Cut(built.Field(i).Tag.Get("yaml"), ",")
		if name, ok := strings.CutSuffix(key, "_sd_configs"); ok {
			found[name] = reflect.New(built.Field(i).Type.Elem().Elem()).Interface().(discovery.Config)
		}
	}
	require.GreaterOrEqual(t, len(found), 4)
	return found
}

// hostileKind is a discovery of some kind whose server says more than anybody may.
type hostileKind struct{ discovery.Config }

func (hostileKind) NewDiscoverer(discovery.DiscovererOptions) (discovery.Discoverer, error) {
	return &scriptedDiscovery{run: func(ctx context.Context, updates chan<- []*targetgroup.Group) {
		for i := range 1000 {
			g := group(numbered(1000)[i], numbered(i)...)
			g.Labels = model.LabelSet{"l": model.LabelValue(strings.Repeat("x", 1000))}
			select {
			case updates <- []*targetgroup.Group{g}:
			case <-ctx.Done():
				return
			}
		}
	}}, nil
}

func TestWhatEveryKindOfDiscoveryFindsIsBounded(t *testing.T) {
	for name, config := range kinds(t) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := withDiscoveries(t, Budget{DiscoveredTargets: 100}, hostileKind{config})
				require.LessOrEqual(t, len(s.Targets()), 100)
				require.Equal(t, uint64(1), refusalOf(s, overDiscoveredTargets).Count)
				s = withDiscoveries(t, Budget{DiscoveredBytes: 100_000}, hostileKind{config})
				require.LessOrEqual(t, len(s.Targets()), 100)
				require.Equal(t, uint64(1), refusalOf(s, overDiscoveredBytes).Count)
			})
		})
	}
}

func TestTheDocsSayWhatIsBoundedForEachKindOfDiscovery(t *testing.T) {
	text, err := os.ReadFile("../docs/security.md")
	require.NoError(t, err)
	listed := func(row string) map[string]bool {
		_, rest, found := strings.Cut(string(text), "| "+row+" |")
		require.True(t, found, row)
		line, _, _ := strings.Cut(rest, "\n")
		names := map[string]bool{}
		for _, quoted := range regexp.MustCompile("`([a-z0-9]+)`").FindAllStringSubmatch(line, -1) {
			names[quoted[1]] = true
		}
		return names
	}
	answers, reports := listed("each answer, while it is read"), listed("only what it has found")
	for name := range kinds(t) {
		_, overHTTP := overHTTP[name]
		require.Equal(t, overHTTP, answers[name], "%s in the first row of the table in docs/security.md", name)
		require.Equal(t, !overHTTP, reports[name], "%s in the second row of the table in docs/security.md", name)
	}
}
