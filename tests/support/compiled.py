"""The programs with their hot modules compiled, as the control plane's image has them.

Built once for what goes in and kept in the cache (``tools.compiled``; ``make integration`` does).
"""

from __future__ import annotations

import os
from pathlib import Path

from tools.cluster.layout import REPOSITORY, Layout
from tools.compiled.build import NotCompiled as NotCompiled
from tools.compiled.build import Refused as Refused
from tools.compiled.build import ensure, find, overlay


def compiled_tree(place: Path) -> Path:
    """Return a folder for PYTHONPATH; it may take minutes. Raises NotCompiled."""
    return overlay(REPOSITORY, ensure(REPOSITORY, Layout.of(os.environ).cache), place)


def tree_if_compiled(place: Path) -> Path | None:
    """Return a folder for PYTHONPATH, if the modules were compiled before."""
    found = find(REPOSITORY, Layout.of(os.environ).cache)
    return None if found is None else overlay(REPOSITORY, found, place)
