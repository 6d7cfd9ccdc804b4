// Package ringmaster embeds a supervisor of scrape configs in a larger actor system.
//
//	s, err := ringmaster.New(ringmaster.Options{Directory: dir, Configs: map[string]string{"self": text}})
//	pid := parent.Spawn(s.Props()) // under any actor, or at the root
//	mux.Handle("/scraper/", http.StripPrefix("/scraper", s.Handler()))
//	<-s.Released()                 // after the actor has ended, nothing of it is left
//
// New opens what the supervisor needs: the directory with its logs, its place in the cluster,
// gossip. Props spawns it, once. The actor answers the questions of package messages, obeys its
// control commands, and tells a subscriber what happens, as a messages.Notice. A supervisor that
// has ended, however it did, releases everything: pipelines, gossip, session, files, metrics. To
// start it again, call New again. docs/embedding.md is the guide, cmd/internal/daemon the first
// user.
//
// # What it owns
//
// The assembly of the parts: package actors decides and supervises, actors/pipeline scrapes and
// sends, cluster/gossip hears from peers, web answers HTTP. Who wants to put them together alone
// uses these.
//
// # What it refuses to own
//
// The store, which whoever opened it closes after Released; listeners; flags, files of settings,
// signals. There are no globals: several supervisors run in one process, also of one cluster. Each
// needs a Directory of its own, and a Registerer of its own, or one with labels of its own.
//
// # Concurrency
//
// New may block on the disk. Props, Handler, Client and Released may be called by any goroutine.
//
// ARCHITECTURE.md is the map of the repository; the tests beside this file hold the house rules
// that a linter can't.
package ringmaster
