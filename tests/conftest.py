"""What all tests share: generated cases that are the same at each run.

A case found by chance would fail somebody else's run. To look for new ones:
`KLAMBDA_HYPOTHESIS=explore .venv/bin/python -m pytest tests/unit/...`; what is found becomes an
`@example`.
"""

import os

from hypothesis import settings

settings.register_profile("steady", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("explore", max_examples=2000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("KLAMBDA_HYPOTHESIS", "steady"))
