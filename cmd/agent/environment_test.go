package main

import (
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASealedEnvironmentHoldsNothingThatAClientOfACloudLooksFor(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_ACCESS_KEY_ID": "a", "AWS_SESSION_TOKEN": "a", "AWS_PROFILE": "a", "CONSUL_HTTP_TOKEN_FILE": "a", "NOMAD_TOKEN": "a", "HOME": "/a",
		"KUBERNETES_SERVICE_HOST": "a", "OS_PASSWORD": "a", "AZURE_FEDERATED_TOKEN_FILE": "a", "PATH": "/a", "DOCKER_HOST": "unix:///a",
		"TZ": "UTC", "https_proxy": "http://proxy", "GODEBUG": os.Getenv("GODEBUG"),
	} {
		t.Setenv(name, value) // puts it back
	}
	for _, name := range []string{"AWS_EC2_METADATA_DISABLED", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} {
		t.Setenv(name, "")
	}
	before := currentEnvironment()
	t.Cleanup(func() {
		for name, value := range before {
			_ = os.Setenv(name, value)
		}
	})
	before.seal()
	left := currentEnvironment()
	for name := range left {
		require.True(t, keepsVariable(name) || name == "AWS_EC2_METADATA_DISABLED" || name == "AWS_CONFIG_FILE" || name == "AWS_SHARED_CREDENTIALS_FILE", name)
	}
	require.Equal(t, "UTC", left["TZ"])
	require.Equal(t, "http://proxy", left["https_proxy"])
	require.Equal(t, "true", left["AWS_EC2_METADATA_DISABLED"])

	// The agent's own file still finds what it refers to.
	value, set := before.lookup("AWS_SESSION_TOKEN")
	require.True(t, set)
	require.Equal(t, "a", value)
}
