"""The store: blobs by digest on a volume, behind internal HTTP."""
