// Package browsertest looks at the agent's pages as a person does: in a real Chromium, of real
// agents that form a cluster as processes, with targets that are up and down. It believes what the
// browser shows and what the browser complains of, not the HTML that was sent; that is held by the
// golden files of package web.
//
// It needs a Chromium beside Go (apt-get install chromium). Without one in $PATH or in -chromium
// its test is skipped and says so. The browser runs headless with a profile of its own, reaches
// nothing but loopback, and is gone with all its processes when the test is.
//
// The package has no code that is linked anywhere.
package browsertest
