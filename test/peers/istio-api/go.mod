// The definitions of Istio's kinds, as its release 1.31 has them; no program.
module lateral.dev/test/peers/istio-api

go 1.26

require istio.io/api v1.31.1 // indirect
