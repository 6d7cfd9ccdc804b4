package remotewrite

import (
	"testing"

	promconfig "github.com/prometheus/prometheus/config"
	"github.com/stretchr/testify/require"
)

func TestCursorIDsSurviveEverythingButANewDestination(t *testing.T) {
	block := func(name, url string) *promconfig.RemoteWriteConfig {
		cfg := writeConfig(t, url)
		cfg.Name = name
		return cfg
	}
	ids := func(configs ...*promconfig.RemoteWriteConfig) []string { return CursorIDs("app", configs) }

	before := ids(block("mine", "http://a/"), block("app-0a1b2c", "http://u:one@b/"), block("app-ffffff", "http://u:one@b/"))
	after := ids(block("mine", "http://c/"), block("app-999999", "http://u:two@b/"), block("app-888888", "http://u:two@b/"))
	require.Equal(t, before, after, "a named block is its name, another its address without the password")
	require.Len(t, map[string]bool{before[0]: true, before[1]: true, before[2]: true}, 3)
	for _, id := range before {
		require.Regexp(t, `^[a-z0-9-]{1,40}$`, id)
	}
	require.NotEqual(t, before[1], ids(block("app-0a1b2c", "http://u:one@other/"))[0])
	require.NotEqual(t, before[1], ids(block("app-0a1b2c", "http://v:one@b/"))[0], "another user is another destination")
	require.NotEqual(t, ids(block("app-1", "http://a/")), ids(block("app-2", "http://a/")), "these are names a person gave")
}

func TestDigestSeesSecretsAndIgnoresUse(t *testing.T) {
	cfg := func(change ...func(*promconfig.RemoteWriteConfig)) digest {
		return digestOf(writeConfig(t, "http://u:p@a/", change...))
	}
	same := cfg()
	require.Equal(t, same, cfg())
	require.NotEqual(t, same, digestOf(writeConfig(t, "http://u:q@a/")), "the URL's password")
	require.NotEqual(t, same, cfg(func(c *promconfig.RemoteWriteConfig) { c.HTTPClientConfig.BearerToken = "x" }))
	require.NotEqual(t, same, cfg(func(c *promconfig.RemoteWriteConfig) { c.Headers = map[string]string{"a": "b"} }))
	require.NotEqual(t, cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("a") }),
		cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("b") }))
	require.Equal(t, cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("a") }),
		cfg(func(c *promconfig.RemoteWriteConfig) { c.WriteRelabelConfigs = dropping("a") }))

	used := writeConfig(t, "http://u:p@a/")
	used.HTTPClientConfig.ProxyFromEnvironment = true
	before := digestOf(used)
	used.HTTPClientConfig.Proxy()
	require.Equal(t, before, digestOf(used), "a proxy setting that was used is still the same setting")
}
