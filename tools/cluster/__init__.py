"""The local cluster: a fresh machine -> real Kubernetes -> Klambda -> an answer.

`python -m tools.cluster <verb>` is what the Makefile calls. One module per concept; three kinds of
cluster (`native`, `kind`, `existing`) behind one small protocol (`cluster.Cluster`).
Nothing here is imported by the programs that run in the cluster.
"""
