// Nothing is built here: the tests read the custom resource definitions that lie in this module.
module gateproof.dev/tests/chart/toolchain/monitoring

go 1.27

require github.com/prometheus-operator/prometheus-operator v0.85.0 // indirect
