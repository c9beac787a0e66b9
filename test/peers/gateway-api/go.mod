// The definitions of the Gateway API, as its release 1.5 has them (TLSRoute in v1, and in the versions before); no program.
module lateral.dev/test/peers/gateway-api

go 1.26

require sigs.k8s.io/gateway-api v1.5.1 // indirect
