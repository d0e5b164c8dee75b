"""The node agent: makes pods real processes, through real Pod objects of a real kube-apiserver, without a kubelet.

What it honours, as kubelet does: command, args, env and envFrom with every source of the API but fileKeyRef, images by pull
policy, init containers, several containers, restartPolicy with back-off, the three probes (httpGet, tcpSocket, exec), postStart
and preStop (exec, httpGet, sleep), termination grace periods, readiness gates, emptyDir at /tmp (as TMPDIR), the pod's status and
events. Each ready pod has a WorkloadEntry, which is how istiod finds it: EndpointSlices cannot hold loopback addresses.

What it does not honour is named once in its log when a pod asks for it (spec.not_honoured):
- volumes and mounts other than an emptyDir at /tmp: a process without a mount namespace has no file system of its own;
- securityContext: processes run as the agent's user, with its rights and the machine's file system;
- resources: they are read by resourceFieldRef, but limit nothing;
- host namespaces, hostAliases, hostname, subdomain, dnsConfig, runtimeClassName, hostPort: there is one network, the machine's;
- imagePullSecrets, nodeSelector, affinity, topologySpreadConstraints, resourceClaims: there is one node, and no scheduler;
- activeDeadlineSeconds, ephemeral containers, resizePolicy, restartPolicyRules, lifecycle.stopSignal, stdin, tty, grpc probes;
- sidecars (init containers with restartPolicy Always): the pod stays Pending and says so.
Also: no service environment variables (enableServiceLinks), no service account token, no `kubectl logs`, `exec` or `port-forward`
(these need a kubelet's server; the logs lie in the state folder), no node heartbeat, no in-place change of an image, and a
container is always stopped by SIGTERM. A process must listen on its pod's address (fieldRef status.podIP): one that listens on
0.0.0.0 takes the port of every pod.
"""
