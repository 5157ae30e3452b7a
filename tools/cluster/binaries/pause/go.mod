module klambda.io/klambda/tools/cluster/binaries/pause

go 1.24
