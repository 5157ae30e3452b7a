"""The gateway's hot modules as machine code: which they are, and building them with mypyc.

They stay plain Python: where nothing was built they run interpreted, and behave the same
(docs/adr/0032). The control plane's Dockerfile runs it, and who tests and measures asks ``build``.
"""
