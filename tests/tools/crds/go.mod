// The definitions of the Gateway API and of the Prometheus operator, for strict dry runs of what we render.
// Only files of these modules are read, no Go of theirs is built: `go mod download`, not `go mod tidy`.
module jitsictl.dev/tests/tools/crds

go 1.24.0

require (
	github.com/prometheus-operator/prometheus-operator v0.85.0
	sigs.k8s.io/gateway-api v1.6.3
)
