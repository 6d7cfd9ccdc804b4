package web

import (
	"fmt"
	"slices"
	"strings"
)

// unitFilter passes units that the node should run or runs, that are in the state, and whose config's name begins with prefix; what is empty
// passes everything.
func unitFilter(node, state, prefix string) (func(Unit) bool, error) {
	if err := oneOf("state", state, UnitClaimed, UnitMoving, UnitUnclaimed, UnitLocal); err != nil {
		return nil, err
	}
	return func(u Unit) bool {
		return (node == "" || u.Owner == node || u.ClaimedBy == node) &&
			(state == "" || u.State == state) &&
			strings.HasPrefix(u.Config, prefix)
	}, nil
}

// targetFilter passes targets in the state, of the instance and of the job; what is empty passes everything.
func targetFilter(state, instance, job string) (func(Target) bool, error) {
	if err := oneOf("state", state, "up", "down", "unknown"); err != nil {
		return nil, err
	}
	return func(t Target) bool {
		return (state == "" || t.State == state) && (instance == "" || t.Instance == instance) && (job == "" || t.TargetGroup == job)
	}, nil
}

// instanceFilter passes everything, or those that are or are not quarantined.
func instanceFilter(quarantined string) (func(Instance) bool, error) {
	if err := oneOf("quarantined", quarantined, "true", "false"); err != nil {
		return nil, err
	}
	return func(i Instance) bool {
		return quarantined == "" || i.Quarantined == (quarantined == "true")
	}, nil
}

// oneOf refuses a parameter that is neither empty nor one of the values.
func oneOf(parameter, value string, values ...string) error {
	if value == "" || slices.Contains(values, value) {
		return nil
	}
	return fmt.Errorf("%s: want one of %s", parameter, strings.Join(values, ", "))
}
