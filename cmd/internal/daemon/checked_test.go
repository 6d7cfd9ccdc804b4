package daemon

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ringmaster-agent/ringmaster/config"
	"github.com/ringmaster-agent/ringmaster/messages"
)

func TestAnUploadIsParsedOnce(t *testing.T) {
	const file = "metrics: {scraping_service: {enabled: true}}"
	agent, err := config.LoadAgent("agent.yaml", []byte(file), config.LoadOptions{})
	require.NoError(t, err)
	s := newSettings(agent)
	const text = "scrape_configs: [{job_name: a}]"
	upload := func(name string) *config.Instance {
		o := s.optionsOf(name)
		o.Origin = "upload"
		i, err := config.ParseInstance(name, text, o)
		require.NoError(t, err)
		s.checked.keep(i, o)
		return i
	}
	parse := func(name, text string) *config.Instance {
		i, err := s.parse(messages.Document{Name: name, Text: messages.Text(text)})
		require.NoError(t, err)
		return i
	}
	uploaded := upload("app")
	require.NotSame(t, uploaded, parse("other", text))
	require.NotSame(t, uploaded, parse("app", text+"\n"), "another text is in the store")
	require.Same(t, uploaded, parse("app", text))
	require.NotSame(t, uploaded, parse("app", text), "it is kept no longer than it is of use")

	uploaded = upload("app")
	outline, err := s.outline(messages.Document{Name: "app", Text: text})
	require.NoError(t, err)
	require.Equal(t, uploaded.Digest(), outline.Digest())
	require.Nil(t, outline.ScrapeConfigs)
	require.Empty(t, s.checked.kept)

	uploaded = upload("app")
	other := *agent
	other.Metrics.ScrapingService.AllowAmbientCredentials = true
	s.current.Store(&other)
	require.NotSame(t, uploaded, parse("app", text), "the rules have changed since")
}

func TestAnUploadIsForgottenIfItIsNotStoredOrNobodyTakesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &checked{}
		instance := func() *config.Instance { return &config.Instance{Name: "app", Text: "text"} }
		forget := c.keep(instance(), config.InstanceOptions{})
		newer := c.keep(instance(), config.InstanceOptions{})
		forget()
		require.Len(t, c.kept, 1, "another upload came between")
		newer()
		require.Empty(t, c.kept)
		require.Zero(t, c.bytes)

		c.keep(instance(), config.InstanceOptions{})
		<-time.After(checkedFor + time.Second)
		synctest.Wait()
		require.Empty(t, c.kept)
	})
}

func TestFewUploadsAreKept(t *testing.T) {
	c := &checked{}
	defer func() {
		for name := range c.kept {
			c.drop(name)
		}
	}()
	for i := range 3 * mostChecked / 2 {
		c.keep(&config.Instance{Name: fmt.Sprint(i), Text: "text"}, config.InstanceOptions{})
	}
	require.Len(t, c.kept, mostChecked/2)
	half := strings.Repeat("x", mostCheckedBytes/2)
	for i := range 3 {
		c.keep(&config.Instance{Name: "large" + fmt.Sprint(i), Text: half}, config.InstanceOptions{})
	}
	require.Len(t, c.kept, 2)
	c.keep(&config.Instance{Name: "large2", Text: half + half + half}, config.InstanceOptions{})
	require.Len(t, c.kept, 2, "what is too large is not kept")
	c.keep(&config.Instance{Name: "large2", Text: half}, config.InstanceOptions{})
	require.Len(t, c.kept, 2)
	require.Equal(t, mostCheckedBytes, c.bytes)
}
