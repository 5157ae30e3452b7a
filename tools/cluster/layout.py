"""Where everything lies: the checkout, its `.klambda` folder, the cache shared by checkouts.

`.klambda` holds what belongs to the running cluster and goes with `make down`; `KLAMBDA_STATE` puts
it elsewhere, so that several checkouts (work trees) take turns on one cluster. The cache holds what
was built and is only ever added to. Nothing is written anywhere else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """The folders of one checkout."""

    repository: Path
    state: Path
    cache: Path

    @classmethod
    def of(cls, environment: Mapping[str, str], repository: Path = REPOSITORY) -> Layout:
        """Return the layout of this checkout; `KLAMBDA_CACHE` and `KLAMBDA_STATE` move folders."""
        default = Path(environment.get("HOME", "/root")) / ".cache" / "klambda"
        return cls(
            repository=repository,
            state=Path(environment.get("KLAMBDA_STATE") or repository / ".klambda").absolute(),
            cache=Path(environment.get("KLAMBDA_CACHE") or default).absolute(),
        )

    @property
    def bin(self) -> Path:
        """The programs by name: links into the cache."""
        return self.cache / "bin"

    @property
    def logs(self) -> Path:
        """One file per step that runs commands."""
        return self.state / "logs"

    @property
    def kubeconfig(self) -> Path:
        """The cluster's kubeconfig, context `klambda`."""
        return self.state / "kubeconfig"

    @property
    def values(self) -> Path:
        """What `make up` tells the chart."""
        return self.state / "values.yaml"

    @property
    def environment(self) -> Path:
        """The file to be sourced."""
        return self.state / "env"

    @property
    def native(self) -> Path:
        """Everything the native node writes."""
        return self.state / "native"

    def search_path(self) -> str:
        """PATH with our programs and the virtual environment's first."""
        ours = [str(self.bin), str(self.repository / ".venv" / "bin")]
        return os.pathsep.join([*ours, os.environ.get("PATH", os.defpath)])
