# The control plane: one image, three programs (python -m klambda_gateway|klambda_operator|klambda_store).
# What they depend on changes seldom and is one layer; their own code is another, copied last.
ARG BASE=docker.io/library/debian:trixie-slim

FROM ${BASE} AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3-pip \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/control-plane.lock /build/
# kubernetes/aio (64 MB compiled) is a second copy of its models that nothing here imports.
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
      --root-user-action ignore --target /app/packages -r /build/control-plane.lock \
 && rm -rf /app/packages/bin /app/packages/kubernetes/aio \
 && python3 -m compileall -q --invalidation-mode unchecked-hash /app/packages
COPY common gateway operator store /app/klambda/
RUN python3 -m compileall -q --invalidation-mode unchecked-hash /app/klambda

# The gateway's hot modules as machine code (docs/adr/0032); nothing but they and the compiler moves
# this stage's layers. Where they cannot be compiled the folder stays empty, and all runs interpreted.
FROM ${BASE} AS compiled
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev python3-dev python3-pip \
 && rm -rf /var/lib/apt/lists/*
COPY requirements/compiler.lock /build/
RUN pip install --no-cache-dir --no-compile --no-deps --require-hashes --only-binary :all: \
      --root-user-action ignore --target /compiler -r /build/compiler.lock
COPY hot /build/hot
RUN cd /build/hot && PYTHONPATH=/compiler python3 -m tools.compiled /build/machine-code

FROM ${BASE}
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates python3 \
 && rm -rf /var/lib/apt/lists/* /var/cache/* /var/log/* /tmp/* /root/.cache \
 && mkdir -p /var/log /var/cache \
 && ln -s python3 /usr/bin/python \
 && echo 'klambda:x:65532:' >> /etc/group \
 && echo 'klambda:x:65532:65532::/tmp:/usr/sbin/nologin' >> /etc/passwd
COPY --from=build /app/packages /app/packages
COPY --from=build /app/klambda /app/klambda
COPY --from=compiled /build/machine-code /app/klambda
ENV PYTHONPATH=/app/klambda:/app/packages PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 LANG=C.UTF-8
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["python", "-m"]
CMD ["klambda_gateway"]
