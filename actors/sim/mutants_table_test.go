package sim

// mutants are the planted bugs, by what decides.
func mutants() []mutant {
	return append(append(fencingMutants(), memberMutants()...), claimMutants()...)
}

// fencingMutants are about whether a node may scrape, and who may end its session.
func fencingMutants() []mutant {
	const (
		decide = "actors/fencing/decide.go"
		belief = "actors/fencing/belief.go"
		end    = "actors/fencing/end.go"
		survey = "actors/fencing/survey.go"
		roll   = "actors/presence/roll.go"
	)
	return []mutant{
		{name: "contact needs no majority", file: survey, old: "needed := (others + 1) / 2", new: "needed := min(others, 1)"},
		{name: "peers that do not answer count as together", file: survey,
			old: "if known && p.Alive && !p.Answered.IsZero() && now.Sub(p.Answered) < Fresh {", new: "if known && p.Alive {"},
		{name: "newcomers count as together", file: survey,
			old: "!p.Foreign && !p.Newcomer && !p.Leaving", new: "!p.Foreign && !p.Leaving"},
		{name: "a process without a session counts as together", file: survey,
			old: "known := p.Registered && !p.Foreign && ", new: "known := !p.Foreign && "},
		{name: "what may be another process counts as together", file: survey,
			old: "known := p.Registered && !p.Foreign && ", new: "known := p.Registered && ",
			equivalent: "Who says that it has the session in the record has said so at least once, and is not foreign then."},
		{name: "what may be another process is contact", file: survey, old: "if p.Alive && !p.Foreign {", new: "if p.Alive {",
			survives: "It needs a twin on the side of a cut that has lost the store. A twin without a session counts there, so the failure model allows an " +
				"overlap of two seconds, and no fault starts such a twin."},
		{name: "whom the store does not list is contact", by: "goes on for one node,parted in two", file: survey,
			old: "earlier(v.contact(peers, false), v.contact(peers, true))", new: "v.contact(peers, false)"},
		{name: "a clock that is behind hides who has reached the store since", file: survey,
			old: "!known || v.Renewed.Sub(first) >= Idle", new: "!known",
			survives: "Of 100,000 seeds one shows it (96483 on the code of 30 November 2026): a cut that ends in an outage, and a clock an hour behind on " +
				"the side that had the store. TestAClockThatIsBehindHidesNoPeerThatHasReachedTheStoreSince of fencing tests the rule."},
		{name: "what may be another process is known to lack the store", file: survey,
			old: "case !p.answers(v.Now), p.Foreign && !p.ReachesStore:", new: "case !p.answers(v.Now):",
			survives: "As for what may be another process and is contact: it needs a twin on the side of a cut that has lost the store."},
		{name: "another process of a member's name is no newcomer", by: "twin on the other", file: roll,
			old: "if !known || next.incarnation != before.incarnation {", new: "if !known {"},
		{name: "without gossip a successor waits no longer than with it", file: end,
			old: "if noGossip {", new: "if noGossip && ttl == 0 {"},
		{name: "a cut off node is not fenced", file: decide,
			old: `return Verdict{Fenced: true, Reason: "other nodes reach the store and this one does not"}`,
			new: `return Verdict{Until: v.Now.Add(grantWithoutEvidence), Reason: "other nodes reach the store"}`},
		{name: "an isolated node never stops", file: decide,
			old: `return Verdict{Fenced: true, Reason: why + ": isolated, and told to stop then"}`,
			new: `return Verdict{Until: v.Now.Add(grantWithoutEvidence), Reason: why}`},
		{name: "a permission outlasts half of the session", file: decide, old: "limit := v.TTL / 2", new: "limit := 2 * v.TTL"},
		{name: "evidence counts for too long", file: decide, old: "Fresh = 2500 * time.Millisecond", new: "Fresh = 6500 * time.Millisecond"},
		{name: "a session is idle at once", file: decide, old: "Idle = 3 * time.Second", new: "Idle = 100 * time.Millisecond"},
		{name: "a paused node goes by its peers", file: decide, old: "case v.Lapsed || v.Renewed.IsZero():", new: "case v.Renewed.IsZero():"},
		{name: "members that are not seen do not count", file: decide,
			old: "nobodyCan := v.Reaching == 0 && v.Unseen == 0", new: "nobodyCan := v.Reaching == 0"},
		{name: "a node is cut off as soon as others reach the store", file: decide, old: "grace = 4 * time.Second", new: "grace = 0 * time.Second"},
		{name: "a node goes on whose session may have run out", file: decide, old: "< grace && !v.Survived:", new: "< grace && v.TTL == 0:",
			equivalent: "Others whose sessions ran out wait five seconds before they claim what nobody has, which is longer than these four. Who joins for the first " +
				"time waits for nothing, but is on the ring no sooner than two seconds after the store is back, when this node hears of it too."},
		{name: "without gossip a permission outlasts the session", file: decide,
			old: "return later(until, v.Renewed.Add(v.TTL-Fresh))", new: "return later(until, v.Renewed.Add(2*v.TTL))"},
		{name: "the first renewal after a pause counts", file: belief,
			old: "case b.InDoubt(now):", new: "case now.Before(last):"},
		{name: "nobody notices that a machine was suspended", file: belief,
			old: "max(after.Boot-before.Boot, wall) - seen", new: "wall - seen"},
		{name: "sessions are ended without a majority", file: end, old: "case 2*e.Together < e.Members:", new: "case e.Together < 1:"},
		{name: "sessions of peers are ended that were just assured", file: end, old: "case e.Now.Sub(e.Assured) < Fresh:", new: "case e.Members < 0:",
			equivalent: "Who was told a moment ago that it is held alive has answered a moment ago too, and a session is not ended for longer after that. The two " +
				"differ only where answers are lost one way, which links of the simulation don't do."},
		{name: "a node that was paused ends sessions", file: end, old: "case e.Now.Sub(e.AwakeSince) < Idle:", new: "case e.Members < 0:"},
		{name: "sessions of dead peers are not ended early", file: end, old: "case !e.Dead:", new: "case !e.Dead || !e.Fenced:"},
		{name: "a session is ended that is not idle", file: end, old: "case e.Idle < bound:", new: "case e.Idle < 0:"},
		{name: "a fenced node's session is not ended", file: end, old: "case e.Fenced:", new: "case e.Fenced && e.TTL == 0:"},
		{name: "a successor does not wait for the one before", file: end, old: "return GoesOn(e.TTL, e.NoGossip)", new: "return 0"},
	}
}

// memberMutants are about being a member, and about what is known of others.
func memberMutants() []mutant {
	const (
		permits    = "actors/ringactor/permits.go"
		peers      = "actors/ringactor/peers.go"
		session    = "actors/ringactor/session.go"
		roll       = "actors/presence/roll.go"
		ring       = "actors/presence/ring.go"
		membership = "actors/supervisor_membership.go"
		records    = "actors/knowledge/records.go"
		catalog    = "actors/knowledge/catalog.go"
		units      = "actors/supervisor_units.go"
	)
	return []mutant{
		{name: "a permit ignores that its session has ended", file: permits,
			old: "g == nil || current.void.Load() || current.ended()", new: "g == nil || current.void.Load()",
			equivalent: "The ring actor looks at the session four times a second, and gives the permit up then. Nobody else has a unit within that time: others wait " +
				"for five seconds after a loss of data, and a session that ran out, or was ended, was not renewed for so long that no permit is left."},
		{name: "a permit ignores that its session was given up", file: permits,
			old: "g == nil || current.void.Load() || current.ended()", new: "g == nil || current.ended()"},
		{name: "a claim of another session allows to scrape", file: permits, old: `current != nil && session != "" && current.id == session &&`, new: "current != nil &&"},
		{name: "a node never says that it is fenced", file: peers, old: "Fenced: fenced, Reaches", new: "Fenced: fenced && p.ctx == nil, Reaches"},
		{name: "peers count in the order of their names", file: peers, old: "p.surveyed = append(p.surveyed, p.peer(node))",
			new: "if node > p.Node {\n\t\t\tp.surveyed = append(p.surveyed, fencing.Peer{})\n\t\t\tcontinue\n\t\t}\n\t\tp.surveyed = append(p.surveyed, p.peer(node))"},
		{name: "a node that was taken for dead goes on", file: session, old: "case r.own.lost(r.Node, r.registry) && !r.own.belief.Doubted.IsZero():", new: "case r.ctx == nil:",
			equivalent: "A node whose renewals are doubted writes its record again, on condition that it is as it was. That fails if the record was taken away, and " +
				"the node gives its session up for that."},
		{name: "a doubted renewal is never confirmed", file: session, old: "r.own.belief = r.own.belief.Confirm(m.doubted)", new: ""},
		{name: "a member counts no more as soon as its session was ended", by: "cut off from the store,session ended,parted in two", file: roll,
			old: "e.leaving || now.Sub(e.goneSince) >= keep", new: "!e.goneSince.IsZero()"},
		{name: "whose record has gone leaves the ring although it lives", file: ring,
			old: "if !v.Alive(node) || v.Now.Sub(at.goneSince) >= absence {", new: "if !at.goneSince.IsZero() {"},
		{name: "who went on alone goes on with what it remembers", file: session, by: "isolated,store emptied",
			old: "unpermitted || r.permission.wentOn", new: "unpermitted",
			survives: "Of 2,000 seeds of these kinds none shows it. TestWhoWentOnAloneSaysThatOthersMayHaveRun of ringactor tests the rule."},
		{name: "who has the store again takes over at once", file: peers,
			old: "now.Sub(s.back) < fencing.AnswerLife", new: "now.Sub(s.back) < min(fencing.AnswerLife, 0)",
			survives: "No fault takes the store from all nodes and gives it back to some of them just as they are parted from the others. " +
				"TestWhoHasTheStoreAgainTakesNothingFromThoseWhoHaveNotHeardOfIt of this package plays that."},
		{name: "what was ordered by one session is written by the next", file: session, by: "store emptied,writes hang,cut off from the store",
			old: "	r.writes.drop(c)\n", new: "",
			survives: "Of 2,000 seeds of these kinds none shows it. TestWhatWaitsToBeWrittenEndsWithTheSessionItWasOrderedBy of ringactor tests the rule."},
		{name: "who leaves counts no more at once", file: "actors/ringactor/end.go", by: "leave,parted in two",
			old: "p.survey(p.members.roll.Leaving(p.now(), p.SessionTTL)...)", new: "p.survey()",
			survives: "Seed 721 of leave and parted in two showed it before the last rules came. Now 2,000 seeds each of five mixtures of faults do not. " +
				"TestMembersThatLeaveStillCountAmongAll of ringactor tests the rule."},
		{name: "an answer of before the store was back counts as together", file: "actors/ringactor/end.go", by: "leave,parted",
			old: "others[i].Answered.Before(p.countsFrom(p.now()))", new: "others[i].Answered.IsZero()"},
		{name: "who leaves counts itself", file: session, by: "leave,parted in two",
			old: "return o.leaves || now.Sub(o.joined) < ago", new: "return now.Sub(o.joined) < ago",
			survives: "Seed 721 of these kinds showed it before answers of before the store was back counted no more. Now none of 2,000 does. " +
				"TestWhoLeavesOrHasJustJoinedIsUncounted of ringactor tests the rule."},
		{name: "who has just joined counts itself", file: session,
			old: "return o.leaves || now.Sub(o.joined) < ago", new: "return o.leaves",
			survives: "Of 100,000 seeds one shows it (65082 on the code of 30 November 2026): a node is the only one with a session, hears others without " +
				"one, and is parted from the store just as another node joins there. TestWhoLeavesOrHasJustJoinedIsUncounted of ringactor tests the rule."},
		{name: "a write of the member record that was late is never known", file: session, by: "writes hang",
			old: "record.Session == o.id() && record.Revision > o.record.Revision", new: "record.Revision < 0"},
		{name: "the next generation runs from where one without a claim has ended", file: membership, by: "parted in two,actor panics,paused",
			old: "return !own || claim.Revision != u.handoverOf", new: "return own && u.handoverOf < 0",
			survives: "The seed that was taken to show it, 1039, fails without the bug too, and of 2,000 seeds of these kinds no other does. " +
				"TestWhereAGenerationEndedCountsOnlyWhileItsClaimIsTheNewest of actors tests the rule."},
		{name: "no wait after a loss of the store that cost no session", file: membership, by: "store emptied,takes the name",
			old: "listed.Afresh && m.registry.Listed() && !m.recalled", new: "listed.Afresh && m.registry == nil",
			survives: "Of 2,000 seeds of these kinds none shows it. TestWhoHearsThatTheStoreIsAnotherWaitsForThoseWhoHaveNotHeard of actors tests the rule."},
		{name: "no wait after a lost session", file: membership, old: "othersReturn: fencing.GoesOn(o.SessionTTL, o.Gossip == nil)}", new: "othersReturn: min(fencing.Idle, 0)}"},
		{name: "who was without permission goes on with what it remembers", file: units, old: "u.contested = u.epoch != 0", new: "u.contested = false",
			survives: "Since a claim of this process' earlier session counts as none, a second rule holds what others may have run, and 2,000 seeds don't " +
				"show that this one is missing. They did before, at seed 295."},
		{name: "a handover that was told is dropped", file: units, old: "u.resume, u.tookOverFrom = before.Handover, before.Node",
			new: `u.resume, u.tookOverFrom = "", before.Node`},
		{name: "what is released is not given up", file: membership, old: "m.registry.GiveUp(w.Unit, w.Revision)", new: ""},
		{name: "no wait after a write that failed", file: membership, old: "writePause = 500 * time.Millisecond", new: "writePause = 500 * time.Nanosecond"},
		{name: "a listing removes nothing", file: records, old: "!ok && r.revision(value) <= revision {", new: "!ok && r.revision(value) < 0 {"},
		{name: "old events of records count", file: records, old: "if at <= max(r.listed, r.lost[key], r.revision(r.known[key])) {", new: "if at < 0 {"},
		{name: "the end of a record that was written again counts", file: records,
			old: "if revision <= max(r.listed, r.lost[key]) || r.revision(known) > revision {", new: "if revision <= 0 && r.revision(known) > revision {"},
		{name: "a claim that a restore has brought back allows to scrape", file: records, by: "store restored,nodes join",
			old: "if r.claims.past(c.Unit, c.Revision) {", new: "if r.claims.past(c.Unit, c.Revision) && c.Revision < 0 {"},
		{name: "an empty listing is believed at once", file: catalog, old: "if doubtful && !s.vanished {", new: "if doubtful && s.vanished {"},
		{name: "who leaves does not wait for its successors", file: membership,
			old: "func (m *membership) nothingToHandOver(documents *documents) bool {\n",
			new: "func (m *membership) nothingToHandOver(documents *documents) bool {\n\tif len(documents.known) >= 0 {\n\t\treturn true\n\t}\n"},
	}
}

// claimMutants are about units, their claims and their slices.
func claimMutants() []mutant {
	const (
		decide = "actors/reshard/decide.go"
		view   = "actors/reshard/view.go"
		slices = "actors/supervisor_slices.go"
	)
	return []mutant{
		{name: "a claim that was given up allows to scrape", file: view, old: " && claim.Revision != c.GivenUp[claim.Unit]", new: ""},
		{name: "a claim of another process of this name is its own", file: view, old: " && claim.Incarnation == c.Incarnation", new: ""},
		{name: "a claim of an earlier session is in force", file: view, old: " && claim.Session == c.Session && ", new: " && "},
		{name: "a handover is dropped", file: decide, old: "w.Handover = i.Handover", new: ""},
		{name: "a handover of an earlier claim is told", file: decide, old: "claim.Session == v.Cluster.Session && claim.Revision == i.HandoverOf", new: "claim.Revision > 0",
			equivalent: "A handover is dropped when its release is heard of, within milliseconds. For it to go with another claim, the store has to be restored within " +
				"them, from a backup of when this process had claimed the same unit earlier in the same session."},
		{name: "claims of deleted configs stay", file: decide,
			old: "\tdefault:\n\t\tp.write(v, Write{Unit: unit, Kind: RemoveClaim, Revision: claim.Revision})", new: "\tdefault:\n\t\t_ = claim.Revision"},
		{name: "a claim is released before scraping has ended", file: decide, old: " || i.Live() && !i.Quiet {", new: " {"},
		{name: "a claim is released only when everything is sent", file: decide, old: "if i.Live() && v.Now.Before(i.ReleaseBy) {", new: "if i.Live() {"},
		{name: "a claim that a restore has brought back is released at once", file: decide, by: "store restored,nodes join",
			old: "claim.Revision == v.Cluster.GivenUp[unit] && v.Now.Before(v.Cluster.TakeFrom)", new: "claim.Revision < 0"},
		{name: "a unit is handed over to who is not prepared", file: decide, old: `awaited := owner != "" && v.Cluster.Intents[unit].Node == owner &&`, new: `awaited := owner != "" &&`},
		{name: "intents stay", file: decide, old: "p.write(v, Write{Unit: unit, Kind: WithdrawIntent, Revision: intent.Revision})", new: "_ = intent.Revision"},
		{name: "a claim of another node is taken by force", file: decide, old: "\tcase !v.Cluster.anothers(claim):\n", new: "\tcase claim.Revision >= 0:\n"},
		{name: "who has lost its claim goes on", file: decide, old: "\tcase v.Cluster.taken(claim):\n", new: "\tcase claim.Revision < 0:\n"},
		{name: "what others may run is claimed at once", file: decide, old: "v.Cluster.none(claim) && v.Now.Before(v.Cluster.TakeFrom):", new: "claim.Revision < 0:"},
		{name: "a deleted config runs on", file: decide, old: "p.Stop = append(p.Stop, Stop{Unit: unit, Reason: messages.Deleted})", new: "_ = unit"},
		{name: "surplus slices stop at once", file: decide,
			old: "case exists && v.Now.Before(doc.Redivided) && i.Phase == messages.PhaseRunning:", new: "case exists && v.Now.IsZero():"},
		{name: "targets are divided otherwise at once", file: slices, old: "if before.Slices != after.Slices && until.After(now) &&", new: "if before.Slices < 0 && until.After(now) &&"},
	}
}
