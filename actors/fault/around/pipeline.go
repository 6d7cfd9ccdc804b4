package around

import (
	"context"
	"time"

	"github.com/ringmaster-agent/ringmaster/actors"
	"github.com/ringmaster-agent/ringmaster/actors/fault"
	"github.com/ringmaster-agent/ringmaster/cluster/gossip"
)

// Pipelines returns the opening of pipelines with the faults of the point pipeline.open.
func Pipelines(open actors.NewPipeline, rules *fault.Registry) actors.NewPipeline {
	if rules == nil {
		return open
	}
	return func(ctx context.Context, spec actors.PipelineSpec) (actors.Pipeline, error) {
		v := rules.Decide(fault.Event{Point: fault.PipelineOpen, Unit: spec.Unit.String()})
		switch v.Action {
		case fault.Panic:
			panic(v.Err)
		case fault.Error:
			return nil, v.Err
		case fault.Hang:
			return nil, hang(ctx, v)
		case fault.Delay:
			if err := delay(ctx, v, v.Delay); err != nil {
				return nil, err
			}
		}
		return open(ctx, spec)
	}
}

// Gossip decides what becomes of packets and streams; nil without rules.
func Gossip(rules *fault.Registry) gossip.Fate {
	if rules == nil {
		return nil
	}
	return func(peer string, incoming bool) (lost bool, late time.Duration) {
		p := fault.GossipSend
		if incoming {
			p = fault.GossipReceive
		}
		v := rules.Decide(fault.Event{Point: p, Peer: peer})
		if v.Action == fault.Delay {
			late = v.Delay
		}
		return v.Action == fault.Drop, late
	}
}
