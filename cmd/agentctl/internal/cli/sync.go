package cli

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"
	"github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/configsync"
)

const syncLong = `Make the configs in an agent's store equal to the *.yaml and *.yml files of a directory.

A file's name without its extension is the config's name. Files are read in lexical order; subdirectories and files whose
names begin with a dot are left out; DIR may be a symbolic link. What differs is uploaded, then what the store has and the
directory has not is deleted. A file that can't be read or is not valid is reported, and its stored config is left alone.

Nothing is done if the directory is empty or if more than half of the stored configs would be deleted, unless
--allow-delete-many is given. A config that someone else changes meanwhile is not overwritten.

Exit status: 0 the store is now equal, 1 something failed, 2 wrong usage, 3 --dry-run found differences.`

const syncExample = `  # See what would change; ask for the exit status to use it in a script.
  agentctl config-sync --dry-run ./configs

  # Do it, on an agent behind TLS and basic authentication.
  agentctl config-sync -a https://agent.example.com:12345 --user ops --password-file ~/.agent-password ./configs`

func configSyncCommand(p Process) *cobra.Command {
	var api apiclient.Options
	var output string
	sync := configsync.Options{}
	cmd := &cobra.Command{
		Use:     "config-sync [flags] DIR",
		Short:   "Make the stored configs equal to a directory of files",
		Long:    syncLong,
		Example: syncExample,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return withAgent(cmd, &api, func(ctx context.Context, c *apiclient.Client) error {
				bar := newBar(p)
				defer bar.clear()
				sync.Dir, sync.Out, sync.Err, sync.Progress = args[0], bar.around(p.Out), bar.around(p.Err), bar.show
				if output == asTable {
					return configsync.Run(ctx, c, sync)
				}
				sync.Out, sync.Result = io.Discard, &configsync.Result{}
				err := configsync.Run(ctx, c, sync)
				return errors.Join(err, printValue(p.Out, output, sync.Result))
			})
		},
	}
	cmd.Flags().BoolVarP(&sync.DryRun, "dry-run", "d", false, "show what would be done, with a diff, and do nothing")
	cmd.Flags().BoolVar(&sync.AllowDeleteMany, "allow-delete-many", false, "delete more than half of the configs, or all of them for an empty directory")
	addOutputFlag(cmd, &output)
	addAPIFlags(cmd.Flags(), &api)
	return cmd
}

func addAPIFlags(f *pflag.FlagSet, o *apiclient.Options) {
	f.StringVarP(&o.Address, "addr", "a", "http://localhost:12345", "host:port or URL of any agent of the cluster")
	f.StringVar(&o.User, "user", "", "user name for basic authentication; needs --password-file")
	f.StringVar(&o.PasswordFile, "password-file", "", "file with the password for basic authentication")
	f.StringVar(&o.BearerTokenFile, "bearer-token-file", "", "file with a bearer token")
	f.StringVar(&o.TLSCAFile, "tls-ca", "", "file with the CA certificates to trust, in place of the system's")
	f.StringVar(&o.TLSCertFile, "tls-cert", "", "file with the client certificate; needs --tls-key")
	f.StringVar(&o.TLSKeyFile, "tls-key", "", "file with the client certificate's key")
	f.StringVar(&o.TLSServerName, "tls-server-name", "", "name to expect in the agent's certificate")
	f.BoolVar(&o.TLSInsecureSkipVerify, "tls-insecure-skip-verify", false, "trust any certificate")
	f.DurationVar(&o.Timeout, "timeout", 30*time.Second, "time one request may take")
	f.IntVar(&o.Retries, "retries", 3, "how often a request that failed is repeated")
	f.DurationVar(&o.Wait, "wait", 10*time.Second, "how long to wait for an agent that is starting; 0: not at all")
}

func checkAPIFlags(o apiclient.Options) error {
	switch {
	case (o.User == "") != (o.PasswordFile == ""):
		return errors.New("--user and --password-file go together")
	case o.User != "" && o.BearerTokenFile != "":
		return errors.New("--user and --bearer-token-file exclude each other")
	case (o.TLSCertFile == "") != (o.TLSKeyFile == ""):
		return errors.New("--tls-cert and --tls-key go together")
	case o.Timeout <= 0:
		return errors.New("--timeout must be greater than 0")
	case o.Wait < 0:
		return errors.New("--wait must not be negative")
	case o.Retries < 0:
		return errors.New("--retries must not be negative")
	}
	return nil
}
