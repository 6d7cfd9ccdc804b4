//go:build light

package main

import _ "github.com/ringmaster-agent/ringmaster/scrape/sd/light" // the service discoveries that build quickly
