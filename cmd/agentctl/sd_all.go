//go:build !light

package main

import _ "github.com/ringmaster-agent/ringmaster/scrape/sd/all" // every service discovery a config may use
