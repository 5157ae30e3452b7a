"""Klambda's data plane in virtual time: real gateway machines, a model of everything around them.

    clients ─► Gateway (real: invoke service, admission, registry, demand, scaler, instance server)
                  │ frames, as bytes                      ▲ watch            │ scale writes
               Wire (latency, cuts) ─► Instance (model)  Kubernetes (model: pods, replicas, room)

`world.run(Plan(seed=7))` plays a plan and returns a `Verdict`; the same seed gives the same run.
Nothing here sleeps, and there are no sockets: the loop of `virtualtime` jumps from timer to timer.
What instances do is docs/runtime-contract.md; that init does the same, its own tests show.
"""
