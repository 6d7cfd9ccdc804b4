package fault

import (
	"fmt"
	"strings"
)

// Kind names the kind of a message, as Rule.Messages matches it: the type's name for those of
// package messages ("StartInstance"), and package and name for what actors tell themselves
// ("actors.tick"). A message that brings something else may say what by a method Kind.
func Kind(message any) string {
	kind := strings.TrimPrefix(fmt.Sprintf("%T", message), "messages.")
	if m, ok := message.(interface{ Kind() string }); ok {
		return kind + " " + m.Kind()
	}
	return kind
}
