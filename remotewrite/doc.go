// Package remotewrite sends what an instance's log holds to its remote_write endpoints.
package remotewrite
