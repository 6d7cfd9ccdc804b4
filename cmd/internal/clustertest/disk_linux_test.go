package clustertest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/cmd/internal/node"
)

const (
	// smallDisk holds a node's logs and no more.
	smallDisk = "64m"
	// diskTakeover is how soon others have what a node can't run: it has to fail a few times before
	// the node is to blame.
	diskTakeover = 60 * time.Second
)

func TestWhatANodeWithAFullDiskCanNotRunIsRunByOthers(t *testing.T) {
	onlyFull(t)
	measured(t, "the disk of one node is full for a minute", "every config scraped by others within 60 s, and by it again when there is room; no tick taken by two nodes", func(r *row) {
		if *embedded {
			t.Skip("the embedded quorum has a fixed list of members")
		}
		c := newCluster(t, "a", "b")
		directory := filepath.Join(c.directory, "c")
		require.NoError(t, os.MkdirAll(directory, 0o700))
		if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size="+smallDisk, "tmpfs", directory).CombinedOutput(); err != nil {
			t.Skipf("this row needs a small file system, and so root (%v: %s)", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("umount", "-l", directory).Run() })
		settings := node.Settings{Name: "c", Receiver: "http://" + c.address + "/api/v1/write", Etcd: c.etcd.address}
		c.addNode("c", settings, directory, "", agentProgram(t))
		c.start("c")
		c.awaitReady("c")
		c.populate("a", "b", "c")

		lost := ownedBy(c.owners(), "c")
		full := time.Now()
		ballast := filepath.Join(directory, "ballast")
		fill(t, ballast)
		c.logf("the disk of c is full")
		pause(diskTakeover)
		longest, never := c.takenOver(lost, "c", full)
		unscraped := len(c.notScrapedSince(time.Now().Add(-3 * c.interval)))
		require.NoError(t, os.Remove(ballast))
		room := time.Now()
		c.logf("the disk of c has room again; %d configs were not taken over, %d are not scraped", never, unscraped)
		c.settle("a", "b", "c")
		m := c.measure(full, c.configs)
		r.measured = fmt.Sprintf("%d configs lost their disk: the last one scraped by others after %s, %d never; at rest on all three nodes %s after there was room; %s",
			len(lost), sec(longest), never, sec(time.Since(room)), m.ticks())
		r.wants(never == 0, "%d configs never scraped by another node", never)
		r.wants(unscraped == 0, "%d configs unscraped after a minute", unscraped)
		m.wantsNoTwoNodes(r)
	})
}

// fill writes until there is no room.
func fill(t *testing.T, file string) {
	t.Helper()
	f, err := os.Create(file)
	require.NoError(t, err)
	defer f.Close()
	for _, size := range []int{1 << 20, 4 << 10, 1} {
		for err = nil; err == nil; {
			_, err = f.Write(make([]byte, size))
		}
	}
}
