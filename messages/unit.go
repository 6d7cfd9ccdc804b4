package messages

import (
	"cmp"
	"fmt"
)

// Unit is what is owned and moved: a config, or one slice of its targets, or one replica of either.
type Unit struct {
	// Config is the name of the config.
	Config string
	// Slice is the slice's number, from 0, of Slices. Slices is 1 for a config that is not sliced.
	Slice, Slices int
	// Replica is the replica's number, from 0, of Replicas. Replicas is 1 for a config that is not replicated.
	Replica, Replicas int
}

// WholeConfig is the unit of a config that is neither sliced nor replicated.
func WholeConfig(name string) Unit { return Unit{Config: name, Slices: 1, Replicas: 1} }

// Whole reports whether the unit is the only one of its config.
func (u Unit) Whole() bool { return u.Slices <= 1 && u.Replicas <= 1 }

// Key names the unit wherever one string has to: the config's name when the unit is the only one; otherwise the
// name, slice and replica joined by a control character, which no config name can contain.
func (u Unit) Key() string {
	if u.Whole() {
		return u.Config
	}
	return fmt.Sprintf("%s\x1f%d/%d\x1f%d/%d", u.Config, u.Slice, max(u.Slices, 1), u.Replica, max(u.Replicas, 1))
}

// String is the unit for people.
func (u Unit) String() string {
	if u.Whole() {
		return u.Config
	}
	return fmt.Sprintf("%s[slice %d/%d, replica %d/%d]", u.Config, u.Slice, max(u.Slices, 1), u.Replica, max(u.Replicas, 1))
}

// Compare orders units by config, slice, replica.
func (u Unit) Compare(v Unit) int {
	return cmp.Or(
		cmp.Compare(u.Config, v.Config),
		cmp.Compare(u.Slice, v.Slice), cmp.Compare(u.Slices, v.Slices),
		cmp.Compare(u.Replica, v.Replica), cmp.Compare(u.Replicas, v.Replicas),
	)
}
