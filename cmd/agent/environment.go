package main

import (
	"os"
	"slices"
	"strings"
)

// environment is what the process was started with. The agent's own file may refer to it also after
// it was sealed.
type environment map[string]string

func currentEnvironment() environment {
	e := environment{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		e[name] = value
	}
	return e
}

// lookup is os.LookupEnv as it was at the start.
func (e environment) lookup(name string) (value string, set bool) {
	value, set = e[name]
	return value, set
}

// seal takes from the process' environment what is not on the list below. Many clients of clouds
// and stores look there for what they were not told, a token for instance, and send it to whichever
// server an uploaded config names; there is no way to ask each of them not to. What follows is the
// last line behind config's own refusals, for clients that change.
func (environment) seal() {
	for name := range currentEnvironment() {
		if !keepsVariable(name) {
			_ = os.Unsetenv(name) // fails for no name that is set
		}
	}
	// AWS' client finds its files by the user's name if there is no HOME.
	for name, value := range map[string]string{
		"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
	} {
		_ = os.Setenv(name, value)
	}
}

// keepsVariable says whether a variable has a meaning for Go itself, the system's resolver or
// certificates, or the operator's proxy. PATH is none of them: the agent executes nothing.
func keepsVariable(name string) bool {
	switch name {
	case "TZ", "LANG", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR", "LOCALDOMAIN", "RES_OPTIONS", "HOSTALIASES", "NOTIFY_SOCKET", "HOSTNAME":
		return true
	}
	proxy := slices.Contains([]string{"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"}, strings.ToUpper(name))
	return proxy || strings.HasPrefix(name, "LC_") || strings.HasPrefix(name, "GO")
}
