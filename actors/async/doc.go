// Package async is how actors do what takes time: in goroutines and timers whose outcome comes back
// as a message. An actor's Receive never waits; what it would wait for, it begins here.
//
// It owns where time and concurrency come from ([Runtime]) and what becomes of a panic
// ([PanicError]). It decides nothing and keeps nothing. A simulation replaces the Runtime; nothing
// here needs a test double beside that.
package async
