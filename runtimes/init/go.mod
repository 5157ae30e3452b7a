module klambda.io/init

go 1.26
