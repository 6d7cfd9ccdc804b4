// Package messages is the vocabulary of the actors: what the supervisor, the watcher, the instances and
// the outside say to each other. It holds values and nothing that acts on them.
//
// Every message is an immutable value: no pointer, map, slice, channel or function inside, except
// in the few types of this package that are immutable by construction ([List], [Config], and
// time.Time). A test walks every exported type and holds that rule, and the rule that no message
// prints the text of a config, which may contain secrets.
//
// Commands are imperative ([StartInstance]), events past tense ([InstanceRunning]), questions are
// answered by the noun they ask for ([DescribeTree] by [TreeDescription]). There is one file per
// conversation, and one sealed interface per direction:
//
//	instance.go    supervisor → instance [InstanceCommand], instance → supervisor [InstanceEvent]
//	configs.go     watcher → supervisor [WatcherEvent]
//	registry.go    watcher of the registry → supervisor and ring actor [RegistryEvent]
//	ring.go        supervisor → ring actor [RingCommand], ring actor → supervisor [RingEvent]
//	control.go     the outside → supervisor [ControlCommand], and its answers
//	notices.go     supervisor → its embedder [Notice]
//	describe.go    the outside → supervisor [Question], and its answers
//
// Every message about an instance names its unit and its generation; a receiver drops what is about
// another generation than the one it knows. Messages about stored configs carry the store's
// revision. Nothing here is compared by wall clock.
package messages
