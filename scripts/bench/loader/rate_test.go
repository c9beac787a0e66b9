package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

const pause = 400 * time.Millisecond

// A server that stands still for a while must show in every request that was due meanwhile, not in one a connection.
func TestAPauseIsSeenByEveryRequestThatFellIntoIt(t *testing.T) {
	var gate sync.RWMutex
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		gate.RLock()
		defer gate.RUnlock()
	}))
	defer server.Close()
	go func() {
		time.Sleep(500 * time.Millisecond)
		gate.Lock()
		time.Sleep(pause)
		gate.Unlock()
	}()
	port := server.Listener.Addr().(*net.TCPAddr).Port
	result, err := loadAtRate(options{port: port, path: "/", rate: 200, connections: 2, seconds: 2})
	if err != nil {
		t.Fatal(err)
	}
	// 400 of 2,000 ms: a fifth of the requests were due in the pause; two of 400 would have been sent in it
	seen := result.(figures)
	if seen.Errors != 0 || seen.Requests != 400 || seen.P90Ms < float64(pause.Milliseconds())/4 {
		t.Fatalf("p90 %.1f ms of %d requests, %d errors (%s)", seen.P90Ms, seen.Requests, seen.Errors, seen.FirstError)
	}
}
