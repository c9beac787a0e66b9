module lateral.dev/bench/loader

go 1.24.0

require golang.org/x/net v0.48.0
