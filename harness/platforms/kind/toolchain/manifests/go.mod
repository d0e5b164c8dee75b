// Nothing is built here: the kind platform installs the manifests and charts that lie in these modules.
module gateproof.dev/platforms/kind/toolchain/manifests

go 1.27

require (
	github.com/argoproj/argo-cd/v3 v3.6.1 // indirect
	github.com/argoproj/argo-rollouts v1.10.2 // indirect
	istio.io/istio v0.0.0-20260827124520-eed52ebb66ad // indirect
)
