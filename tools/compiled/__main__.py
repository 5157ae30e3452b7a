"""``python -m tools.compiled TARGET``: compile into a folder, or say why not and leave it empty."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from tools.compiled.build import NotCompiled, compile_to
from tools.compiled.modules import MODULES


def main(target: Path) -> None:
    """Compile; the programs run without it, too, only slower."""
    target.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    try:
        compile_to(Path(__file__).parents[2], target)
    except NotCompiled as error:
        print(f"NOT COMPILED, the gateway's hot modules will run interpreted: {error}")
    else:
        print(f"{len(MODULES)} modules compiled in {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
