//go:build light

package main

import _ "github.com/ringmaster-agent/ringmaster/scrape/sd/light" // the discoveries that cost little to build
