package messages

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
)

// Unit is what is owned and moved: a config, or one slice of its targets, or one replica of either.
// How many slices a config has is said by the config, how many replicas by the cluster; a unit does
// not change when these numbers do, so that what runs goes on.
type Unit struct {
	// Config is the name of the config.
	Config string
	// Slice is the slice's number, from 0.
	Slice int
	// Replica is the replica's number, from 0.
	Replica int
}

// WholeConfig is the first slice and replica of a config, for most configs the only one.
func WholeConfig(name string) Unit { return Unit{Config: name} }

// First reports whether the unit is the one that every config has.
func (u Unit) First() bool { return u.Slice == 0 && u.Replica == 0 }

// Key names the unit wherever one string has to: the config's name for the first unit; otherwise
// the name, slice and replica joined by a control character, which no config name can contain.
func (u Unit) Key() string {
	if u.First() {
		return u.Config
	}
	return u.Config + "\x1f" + strconv.Itoa(u.Slice) + "\x1f" + strconv.Itoa(u.Replica)
}

// ParseUnit is the inverse of Unit.Key. It reports false for what is no key of any unit.
func ParseUnit(key string) (Unit, bool) {
	parts := strings.Split(key, "\x1f")
	switch {
	case parts[0] == "":
		return Unit{}, false
	case len(parts) == 1:
		return WholeConfig(key), true
	case len(parts) != 3:
		return Unit{}, false
	}
	slice, err := strconv.Atoi(parts[1])
	replica, errReplica := strconv.Atoi(parts[2])
	u := Unit{Config: parts[0], Slice: slice, Replica: replica}
	return u, err == nil && errReplica == nil && slice >= 0 && replica >= 0 && u.Key() == key
}

// String is the unit for people.
func (u Unit) String() string {
	switch {
	case u.First():
		return u.Config
	case u.Replica == 0:
		return fmt.Sprintf("%s[slice %d]", u.Config, u.Slice)
	case u.Slice == 0:
		return fmt.Sprintf("%s[replica %d]", u.Config, u.Replica)
	default:
		return fmt.Sprintf("%s[slice %d, replica %d]", u.Config, u.Slice, u.Replica)
	}
}

// Compare orders units by config, slice, replica.
func (u Unit) Compare(v Unit) int {
	return cmp.Or(cmp.Compare(u.Config, v.Config), cmp.Compare(u.Slice, v.Slice), cmp.Compare(u.Replica, v.Replica))
}
