module klambda.io/bench/peers

go 1.26
