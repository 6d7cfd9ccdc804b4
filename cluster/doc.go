// Package cluster is what the nodes of one cluster share: the contract of the key-value store.
package cluster
