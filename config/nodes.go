package config

import (
	"fmt"
	"iter"

	"go.yaml.in/yaml/v3"
)

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" }

// isMerge says whether a key is YAML's "<<".
func isMerge(key *yaml.Node) bool {
	return key.Kind == yaml.ScalarNode && key.Value == "<<" && (key.Tag == "" || key.Tag == "!" || key.ShortTag() == "!!merge")
}

// pairs yields the keys and values of a mapping, and nothing for any other node.
func pairs(n *yaml.Node) iter.Seq2[*yaml.Node, *yaml.Node] {
	return func(yield func(key, value *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if !yield(n.Content[i], n.Content[i+1]) {
				return
			}
		}
	}
}

// listed returns the entries of a list, and nothing for any other node.
func listed(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// child returns the value of a key, nil if there is none.
func child(n *yaml.Node, key string) *yaml.Node {
	for k, v := range pairs(n) {
		if k.Value == key {
			return v
		}
	}
	return nil
}

// describe names the kind of a node as a user would.
func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a block of keys"
	case yaml.SequenceNode:
		return "a list"
	}
	if isNull(n) {
		return "nothing"
	}
	return "a single value"
}

// expander copies a tree, putting in place of aliases and merge keys what they stand for. Its
// result is a tree in which every node occurs once, so a node has one path.
type expander struct {
	*document
	nodes int
	most  int
	using map[*yaml.Node]bool // anchors on the way down, to notice one that contains itself
}

func (e *expander) expand(n *yaml.Node, depth int) *yaml.Node {
	e.nodes++
	switch {
	case len(e.errs) > 0:
		return n
	case e.nodes > e.most:
		e.failLine(n.Line, fmt.Sprintf("the document has more than %d values once its aliases are expanded", e.most), "use fewer aliases, or split the config")
		return n
	case depth > maxDepth:
		e.failLine(n.Line, fmt.Sprintf("blocks are nested more than %d deep", maxDepth), "flatten them")
		return n
	}
	if n.Kind == yaml.AliasNode {
		if e.using[n.Alias] {
			e.failLine(n.Line, fmt.Sprintf("the alias *%s is inside of what it stands for", n.Value), "remove the alias")
			return n
		}
		e.using[n.Alias] = true
		defer delete(e.using, n.Alias)
		return e.expand(n.Alias, depth+1)
	}
	out := *n
	out.Anchor, out.Content = "", nil
	e.origin[&out] = n
	if n.Kind == yaml.MappingNode {
		e.mapping(&out, n, depth)
	} else {
		for _, item := range n.Content {
			out.Content = append(out.Content, e.expand(item, depth+1))
		}
	}
	return &out
}

// mapping expands the pairs of n into out. A key of n itself wins over a merged one, an earlier
// merge over a later.
func (e *expander) mapping(out, n *yaml.Node, depth int) {
	own := map[string]bool{}
	for key := range pairs(n) {
		if !isMerge(key) {
			own[key.Value] = true
		}
	}
	for key, value := range pairs(n) {
		if !isMerge(key) {
			if key.Kind != yaml.ScalarNode && key.Kind != yaml.AliasNode {
				e.failLine(key.Line, "a key must be a single value", "write it as key: value")
				return
			}
			out.Content = append(out.Content, e.expand(key, depth+1), e.expand(value, depth+1))
			continue
		}
		merged := e.expand(value, depth+1)
		sources := []*yaml.Node{merged}
		if merged.Kind == yaml.SequenceNode {
			sources = merged.Content
		}
		for _, source := range sources {
			if source.Kind != yaml.MappingNode {
				e.failLine(key.Line, "<< merges blocks of keys only", "give it an alias of a block")
				return
			}
			for k, v := range pairs(source) {
				if !own[k.Value] {
					own[k.Value] = true
					out.Content = append(out.Content, k, v)
				}
			}
		}
	}
}

// isEmpty says whether a value is there but says nothing, as in values that a program wrote out.
func isEmpty(n *yaml.Node) bool {
	return isNull(n) || n.Value == "" && len(n.Content) == 0
}
