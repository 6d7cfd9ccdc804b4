package daemon

import (
	"time"

	"go.uber.org/zap"
)

// linger gives those who scrape this process a last time to do so.
func (d *daemon) linger() {
	pause := d.settings.agent().Metrics.ScrapingService.Lifecycler.FinalSleep
	if pause <= 0 {
		return
	}
	d.Logger.Info("all configs stopped; sleeping for lifecycler.final_sleep", zap.Duration("duration", pause))
	<-time.After(pause)
}
