package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestThePagesOfTheProgramAreGivenBackAndComeAgainWhenNeeded(t *testing.T) {
	resident := func() (kb int) {
		mappings, err := programMappings()
		require.NoError(t, err)
		require.NotEmpty(t, mappings)
		for _, m := range mappings {
			if !strings.Contains(m.permissions, "w") && m.changed == 0 {
				kb += m.resident
			}
		}
		return kb
	}
	before := resident()
	require.NoError(t, releaseProgram())
	require.Less(t, resident(), before)
}
