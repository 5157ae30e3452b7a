"""Pure domain of Klambda: names, ARNs, digests, conditions and the objects. No I/O here."""
