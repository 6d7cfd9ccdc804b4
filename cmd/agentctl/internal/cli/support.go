package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
)

const supportLong = `Save what helps somebody who looks from afar: a zip with the version, the state of instances, targets and members, the
goroutines and the metrics of the agent that is asked, without secrets.

FILE is the zip's name; - is the standard output. Without FILE it is agent-support-TIME.zip here. A file that is there is not overwritten.`

func supportCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var output string
	cmd := &cobra.Command{
		Use: "support [flags] [FILE]", Short: "Save a zip for support", Long: supportLong,
		Example: "  agentctl support -a agent-1:12345\n  agentctl support agent-1.zip",
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			file := "agent-support-" + time.Now().UTC().Format("20060102T150405Z") + ".zip"
			if len(args) > 0 {
				file = args[0]
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				text, err := c.Raw(ctx, http.MethodGet, "/-/support", "")
				if err != nil {
					return err
				}
				if !bytes.HasPrefix(text, []byte("PK")) {
					return errors.New("the answer is no zip; is this the address of an agent?")
				}
				if file == "-" {
					_, err := exactly(p.Out).Write(text)
					return err
				}
				if err := writeNew(file, text); err != nil {
					return err
				}
				return printDone(p, output, fmt.Sprintf("saved %s, %d bytes", file, len(text)), map[string]any{"saved": file, "bytes": len(text)})
			})
		},
	}
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

// writeNew writes a file that is not there yet, for its owner only.
func writeNew(name string, text []byte) (err error) {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}
