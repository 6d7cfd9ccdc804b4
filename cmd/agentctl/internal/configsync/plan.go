package configsync

import "github.com/ringmaster-agent/ringmaster/cmd/agentctl/internal/apiclient"

// Plan is what makes the store equal to the directory.
type Plan struct {
	Create, Update []Upload
	// Unsure are uploads of configs of which the agent does not tell whether they differ.
	Unsure []Upload
	Delete []apiclient.Config
	// Failed are the files that can't be used; their stored configs are left alone.
	Failed    []File
	Unchanged int
	// Stored is how many configs the store has.
	Stored int
}

// Upload is one file on its way, and what must still hold in the store.
type Upload struct {
	File
	If apiclient.Condition
}

// MakePlan compares the directory with the store. Without digests (Listing.Exact) every file that
// the store has is uploaded.
func MakePlan(files []File, stored apiclient.Listing) Plan {
	plan := Plan{Stored: len(stored.Configs)}
	remote := make(map[string]apiclient.Config, len(stored.Configs))
	for _, c := range stored.Configs {
		remote[c.Name] = c
	}
	local := make(map[string]bool, len(files))
	for _, f := range files {
		local[f.Name] = true
		c, exists := remote[f.Name]
		switch {
		case f.Err != nil:
			plan.Failed = append(plan.Failed, f)
		case !stored.Exact && exists:
			plan.Unsure = append(plan.Unsure, Upload{File: f})
		case !exists:
			// A server that tells no revisions doesn't know conditions either.
			plan.Create = append(plan.Create, Upload{f, apiclient.Condition{Absent: stored.Exact}})
		case c.Digest == apiclient.Digest(f.Text):
			plan.Unchanged++
		default:
			plan.Update = append(plan.Update, Upload{f, apiclient.Condition{Revision: c.Revision}})
		}
	}
	for _, c := range stored.Configs {
		if !local[c.Name] {
			plan.Delete = append(plan.Delete, c)
		}
	}
	return plan
}

// DeletesMany tells whether more than half of what is stored would go.
func (p Plan) DeletesMany() bool { return 2*len(p.Delete) > p.Stored }

// Empty tells whether there is nothing to do.
func (p Plan) Empty() bool {
	return len(p.Create)+len(p.Update)+len(p.Unsure)+len(p.Delete) == 0
}
