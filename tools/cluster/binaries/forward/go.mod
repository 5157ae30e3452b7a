module klambda.io/klambda/tools/cluster/binaries/forward

go 1.24
