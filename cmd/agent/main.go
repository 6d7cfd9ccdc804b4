// Command agent is the daemon.
package main

func main() { _, _ = parseFlags(nil, nil) }
