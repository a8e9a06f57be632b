// Package deploy is a module of its own that holds deploy/k8s against what
// will run there: Kubernetes' types and its rules for pods, the binaries' own
// configuration, and real NATS and Redis servers under the very files that the
// pods mount. It has nothing but tests, and no user's build sees what they
// need.
//
// Its invariant: what an overlay says of ports, paths, names, variables and
// times is true of what runs in the pods.
package deploy
