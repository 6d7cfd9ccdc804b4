// Command tools makes what a release consists of, without any engine or packager on the machine:
// deb and rpm packages (nfpm), an image of several architectures as an OCI layout
// (go-containerregistry), the Helm chart as an archive, a bill of materials, and checksums.
//
// It is a module of its own, so that none of this is among the agent's dependencies. Run it from
// the root of the repository:
//
//	go run -C packaging/tools . COMMAND -help
//
// Its tests render the chart and compare with deploy/helm/golden and deploy/kubernetes, and decode
// everything strictly by the API types of Kubernetes.
package main
