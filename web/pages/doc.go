// Package pages renders the agent's pages for people: one frame with the same navigation around
// every page, lists that can be searched, filtered, sorted and paged by their address, the ring and
// the moves as SVG, the style sheet and the script.
//
// It owns how things look: templates, assets, formats of times and numbers, and the bound on a
// page's size (Rows stops before a page grows beyond what a phone wants to load). It refuses to own
// data: who calls Render has gathered and redacted it. A page is whole without the script; the
// script adds searching while one types, values that follow, and keys.
//
// A Pages may be used by any number of goroutines; it keeps no state. Tests: tables for formats and
// drawings here, golden files and sizes in package web, a real browser in cmd/internal/browsertest.
package pages
