"""The native node: real Kubernetes on one machine, without Docker.

etcd, kube-apiserver, controller-manager, scheduler, kubelet, kube-proxy, containerd and CoreDNS as
plain processes in a network and a mount namespace of their own. A *holder* process owns the
namespaces: when it and the others have ended, addresses, routes, rules and mounts are gone, and
the machine is as it was. `record` knows what was started, so that it can be ended again.
"""
