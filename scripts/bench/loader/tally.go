package main

import (
	"sort"
	"sync"
	"time"
)

// tally collects what the connections of one load saw. Each connection adds its own at its end.
type tally struct {
	mutex     sync.Mutex
	latencies []time.Duration
	inTime    int // answered before the end of the load
	errors    int
	first     string
}

func (t *tally) add(latencies []time.Duration, inTime int) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.latencies = append(t.latencies, latencies...)
	t.inTime += inTime
}

func (t *tally) fail(count int, err error) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	t.errors += count
	if t.first == "" && err != nil {
		t.first = err.Error()
	}
}

type figures struct {
	Requests   int     `json:"requests"`
	PerSecond  float64 `json:"perSecond"`
	P50Ms      float64 `json:"p50Ms"`
	P90Ms      float64 `json:"p90Ms"`
	P99Ms      float64 `json:"p99Ms"`
	P999Ms     float64 `json:"p999Ms"`
	Errors     int     `json:"errors"`
	FirstError string  `json:"firstError"`
}

// figures of a load that lasted for a time; requests counts those answered after its end too.
func (t *tally) figures(lasted time.Duration) figures {
	sort.Slice(t.latencies, func(i, j int) bool { return t.latencies[i] < t.latencies[j] })
	at := func(share float64) float64 {
		if len(t.latencies) == 0 {
			return 0
		}
		index := min(int(share*float64(len(t.latencies))), len(t.latencies)-1)
		return float64(t.latencies[index]) / float64(time.Millisecond)
	}
	return figures{
		Requests: len(t.latencies), PerSecond: float64(t.inTime) / lasted.Seconds(),
		P50Ms: at(0.5), P90Ms: at(0.9), P99Ms: at(0.99), P999Ms: at(0.999),
		Errors: t.errors, FirstError: t.first,
	}
}
