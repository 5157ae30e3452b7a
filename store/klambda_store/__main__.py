"""`python -m klambda_store`: hear the end first, then be the program (`program`)."""

from __future__ import annotations

from klambda_obs.ending import end_when_told


def main() -> None:
    """Import and run it."""
    end_when_told()
    from klambda_store import program  # the second or two in which nobody would listen

    program.main()


if __name__ == "__main__":
    main()
