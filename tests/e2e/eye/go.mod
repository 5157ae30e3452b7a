module klambda.io/tests/eye

go 1.26
