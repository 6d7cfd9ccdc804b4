package fault

import "slices"

// Point names a place in the agent where something can be made to go wrong.
type Point string

// The points.
const (
	// ActorReceive is a message that an actor is about to receive. Panic stops the actor, as any
	// panic does.
	ActorReceive Point = "actor.receive"
	// ActorSend is a message that an actor, or a goroutine or timer of one, is about to send.
	ActorSend Point = "actor.send"
	// ActorSpawn is the start of an actor.
	ActorSpawn Point = "actor.spawn"
	// PipelineOpen is the opening of an instance's data path.
	PipelineOpen Point = "pipeline.open"
	// StoreRead is a read or a listing of the store.
	StoreRead Point = "store.read"
	// StoreWrite is a write to the store.
	StoreWrite Point = "store.write"
	// StoreWatch is one event of a watch of the store.
	StoreWatch Point = "store.watch"
	// StoreSession is the opening of a session, and the life of one that is open.
	StoreSession Point = "store.session"
	// GossipSend is a packet or a stream of gossip to a peer.
	GossipSend Point = "gossip.send"
	// GossipReceive is a packet of gossip from a peer.
	GossipReceive Point = "gossip.receive"
	// DiskOpen is the opening of a file of a write-ahead log, or the making of its directory.
	DiskOpen Point = "disk.open"
	// DiskRead is a read of a write-ahead log.
	DiskRead Point = "disk.read"
	// DiskWrite is a write to a write-ahead log.
	DiskWrite Point = "disk.write"
	// DiskSync makes a write-ahead log durable.
	DiskSync Point = "disk.sync"
	// RemoteWrite is a request to a receiver.
	RemoteWrite Point = "remote_write.request"
	// Scrape is a request to a target.
	Scrape Point = "scrape.request"
	// Discovery is an update of a service discovery.
	Discovery Point = "discovery.update"
	// Clock is what the control plane takes for the time.
	Clock Point = "clock"
	// Process is the process as a whole, looked at four times a second.
	Process Point = "process"
)

// Action names what goes wrong.
type Action string

// The actions.
const (
	// Panic panics where the point is.
	Panic Action = "panic"
	// Drop loses the message, packet or event.
	Drop Action = "drop"
	// Delay holds it back for Rule.Delay. At Clock, see Skew.
	Delay Action = "delay"
	// Duplicate has it come twice.
	Duplicate Action = "duplicate"
	// Reorder holds a message back until the next one has come, or for Rule.Delay.
	Reorder Action = "reorder"
	// Stop stops the actor, as if its parent had.
	Stop Action = "stop"
	// Stall keeps an actor's messages until the rule ends, and then delivers them in order.
	Stall Action = "stall"
	// Error fails with Rule.Error.
	Error Action = "error"
	// Hang waits until the caller gives up, or the rule ends. A session is not renewed any more, and
	// its owner hears of its end when its time is over.
	Hang Action = "hang"
	// LoseAnswer does what was asked, and fails all the same.
	LoseAnswer Action = "lose_answer"
	// Empty answers with nothing.
	Empty Action = "empty"
	// Garbage answers with what nobody can read.
	Garbage Action = "garbage"
	// Stale answers with what was read before the rule began, or first under it.
	Stale Action = "stale"
	// Gap tells a watch that events were lost, and loses this one.
	Gap Action = "gap"
	// Lose ends a session.
	Lose Action = "lose"
	// Short stores only half of what is written, and fails.
	Short Action = "short"
	// Flip inverts one bit.
	Flip Action = "flip"
	// Status answers with the HTTP status Rule.Status.
	Status Action = "status"
	// Reset breaks the connection off.
	Reset Action = "reset"
	// Refuse lets nobody connect.
	Refuse Action = "refuse"
	// Redirect answers 302 to the same place.
	Redirect Action = "redirect"
	// Half ends the body of the answer in the middle.
	Half Action = "half"
	// Skew puts the clock ahead by Rule.Delay while the rule lasts, or back if that is negative.
	Skew Action = "skew"
	// Suspend has the machine's clock count Rule.Delay that no other clock has seen, as after a
	// suspension.
	Suspend Action = "suspend"
	// CPU keeps all processors busy.
	CPU Action = "cpu"
	// Memory holds Rule.Bytes of memory.
	Memory Action = "memory"
	// Exit ends the process at once, with status 1.
	Exit Action = "exit"
)

// Info describes a point for people.
type Info struct {
	Point Point `json:"point"`
	// Actions are those that the point knows.
	Actions []Action `json:"actions"`
	// Scopes are the scopes of a Rule that mean something there, beside nodes: units, actors,
	// messages, peers.
	Scopes []string `json:"scopes"`
	What   string   `json:"what"`
}

// points is every point there is.
var points = []Info{
	{ActorReceive, []Action{Panic, Drop, Delay, Duplicate, Reorder, Stop, Stall}, []string{"units", "actors", "messages"}, "a message at its receiver"},
	{ActorSend, []Action{Drop, Delay, Duplicate}, []string{"units", "actors", "messages"}, "a message at its sender"},
	{ActorSpawn, []Action{Error}, []string{"units", "actors"}, "the start of an actor"},
	{PipelineOpen, []Action{Panic, Error, Delay, Hang}, []string{"units"}, "the opening of an instance's data path"},
	{StoreRead, []Action{Error, Delay, Hang, Stale, Empty, Garbage, LoseAnswer}, []string{"messages"}, "a read of the store; messages match the key or prefix"},
	{StoreWrite, []Action{Error, Delay, Hang, LoseAnswer}, []string{"messages"}, "a write to the store; messages match the key"},
	{StoreWatch, []Action{Drop, Delay, Gap}, []string{"messages"}, "an event of a watch; messages match the key"},
	{StoreSession, []Action{Error, Hang, Lose}, nil, "the session that claims are bound to"},
	{GossipSend, []Action{Drop, Delay}, []string{"peers"}, "gossip to a peer"},
	{GossipReceive, []Action{Drop, Delay}, []string{"peers"}, "gossip from a peer"},
	{DiskOpen, []Action{Error, Delay}, []string{"units"}, "opening files of a write-ahead log"},
	{DiskRead, []Action{Error, Delay, Flip}, []string{"units"}, "reading a write-ahead log"},
	{DiskWrite, []Action{Error, Delay, Short, Flip}, []string{"units"}, "writing a write-ahead log"},
	{DiskSync, []Action{Error, Delay}, []string{"units"}, "making a write-ahead log durable; where all are synced at once, that of any of them"},
	{RemoteWrite, []Action{Status, Reset, Hang, Delay, Redirect, LoseAnswer}, []string{"peers"}, "a request to a receiver; peers match its host:port"},
	{Scrape, []Action{Panic, Hang, Refuse, Garbage, Half, Delay, Status}, []string{"units", "peers"}, "a request to a target; peers match its host:port"},
	{Discovery, []Action{Error, Empty, Delay}, []string{"messages"}, "an update of a service discovery; messages match its kind"},
	{Clock, []Action{Skew, Suspend}, nil, "the time that the control plane goes by"},
	{Process, []Action{CPU, Memory, Exit}, nil, "the process as a whole"},
}

// Points describes every point there is.
func Points() []Info {
	out := slices.Clone(points)
	for i := range out {
		out[i].Actions, out[i].Scopes = slices.Clone(out[i].Actions), slices.Clone(out[i].Scopes)
	}
	return out
}

func infoOf(p Point) (Info, bool) {
	i := slices.IndexFunc(points, func(info Info) bool { return info.Point == p })
	if i < 0 {
		return Info{}, false
	}
	return points[i], true
}
