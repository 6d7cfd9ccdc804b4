package messages

import (
	"fmt"
	"slices"
	"strings"
)

// Kinds names every message that actors send each other, and the outside sends them, by its type,
// sorted. These are the names by which faults choose messages.
func Kinds() []string {
	var kinds []string
	for _, m := range []any{
		StartInstance{}, RunInstance{}, ReloadInstance{}, StopInstance{}, CheckInstance{},
		InstancePrepared{}, InstanceRunning{}, InstanceReloaded{}, InstanceReloadFailed{}, InstanceDraining{}, InstanceQuiet{}, InstanceFailed{},
		InstanceStopped{}, InstanceChecked{},
		ConfigPut{}, ConfigDeleted{}, ConfigsListed{}, ConfigsUnavailable{},
		RegistryListed{}, MemberPut{}, MemberGone{}, ClaimPut{}, ClaimGone{}, IntentPut{}, IntentGone{}, HoldPut{}, HoldGone{}, CordonPut{}, CordonGone{},
		TakePlace{}, WriteRecords{}, AskStore{}, ForgetMember{},
		SessionChanged{}, RingChanged{}, RecordsWritten{}, RecordsPending{}, ClusterProblem{}, StoreAway{}, StoreAnswered{}, SessionEnded{},
		MemberForgotten{},
		ReplaceLocal{}, DefaultsChanged{}, RetryInstance{}, StopTree{}, HoldConfig{}, ReleaseConfig{}, CordonNode{}, UncordonNode{},
		DescribeTree{}, DescribeUnit{},
		UnitStarted{}, UnitStopped{}, UnitFailed{}, UnitQuarantined{}, UnitMoved{}, NodeFenced{}, NodeJoined{}, MemberJoined{}, MemberLeft{}, FaultInjected{},
	} {
		kinds = append(kinds, strings.TrimPrefix(fmt.Sprintf("%T", m), "messages."))
	}
	slices.Sort(kinds)
	return kinds
}
