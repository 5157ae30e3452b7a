"""`python -m klambda_operator`: hear the end first, then be the program (`program`)."""

from __future__ import annotations

import sys

from klambda_obs.ending import end_when_told


def main() -> int:
    """Import and run it."""
    end_when_told()
    from klambda_operator import program  # the second or two in which nobody would listen

    return program.main()


if __name__ == "__main__":
    sys.exit(main())
