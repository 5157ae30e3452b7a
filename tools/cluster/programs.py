"""The programs built from Go modules, cached by the hash of what they are built from.

`<cache>/programs/<name>-<hash>` is a finished program; `<cache>/bin/<link>` are the names it is
called by. An unchanged program costs a hash of its module's few files.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tools.cluster.layout import REPOSITORY, Layout
from tools.cluster.steps import Steps
from tools.cluster.toolchain import find

MODULES = Path(__file__).parent / "binaries"
KUBERNETES_VERSION = "1.34.4"
KEY_LENGTH = 16
VERSION_LENGTH = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One program: the module it is built in, and the names it goes by."""

    name: str
    module: Path
    package: str = "."
    ldflags: str = ""
    version_variable: str = ""  # is set to the version, which is the key's beginning
    links: tuple[str, ...] = ()

    def key(self) -> str:
        """Return the hash of everything that makes this program what it is."""
        digest = hashlib.sha256(f"{self.package}\0{self.ldflags}{self.version_variable}\0".encode())
        for file in sorted(self.module.rglob("*")):
            if file.suffix in {".go", ".mod", ".sum"} and not file.name.endswith("_test.go"):
                content = file.read_bytes()
                place = file.relative_to(self.module)
                digest.update(f"{place}\0{len(content)}\0".encode() + content)
        return digest.hexdigest()[:KEY_LENGTH]

    def version(self) -> str:
        """Return what the program calls itself."""
        return self.key()[:VERSION_LENGTH]

    def flags(self) -> str:
        """Return the linker's flags."""
        stamp = f"-X {self.version_variable}={self.version()}" if self.version_variable else ""
        return f"{self.ldflags} {stamp}".strip()

    def path(self, layout: Layout) -> Path:
        """Return where the finished program lies."""
        return layout.cache / "programs" / f"{self.name}-{self.key()}"


def _kubernetes() -> Program:
    major, minor, _ = KUBERNETES_VERSION.split(".")
    version = "k8s.io/component-base/version"
    return Program(
        name="kubernetes",
        module=MODULES / "kubernetes",
        ldflags=(
            f"-X {version}.gitVersion=v{KUBERNETES_VERSION}"
            f" -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
        ),
        links=(
            "etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kube-proxy",
            "kubelet", "kubectl",
        ),
    )  # fmt: skip


KUBERNETES = _kubernetes()
HELM = Program(
    name="helm",
    module=MODULES / "helm",
    package="helm.sh/helm/v4/cmd/helm",
    links=("helm",),
)
COREDNS = Program(name="coredns", module=MODULES / "coredns", links=("coredns",))
PAUSE = Program(name="pause", module=MODULES / "pause", links=("pause",))
FORWARD = Program(name="forward", module=MODULES / "forward", links=("forward",))
REGISTRY = Program(name="registry", module=MODULES / "registry", links=("registry",))
KIND = Program(name="kind", module=MODULES / "kind", package="sigs.k8s.io/kind", links=("kind",))
VERSITYGW = Program(  # an S3 server, for tests
    name="versitygw",
    module=MODULES / "versitygw",
    package="github.com/versity/versitygw/cmd/versitygw",
    links=("versitygw",),
)

INIT = Program(
    name="init", module=REPOSITORY / "runtimes" / "init", version_variable="main.version"
)

API_SERVER = (KUBERNETES,)
NATIVE = (KUBERNETES, HELM, COREDNS, PAUSE, FORWARD)
CLIENTS = (KUBERNETES, HELM)  # kubectl and helm


def missing(layout: Layout, programs: Sequence[Program]) -> list[Program]:
    """Return the programs that are not in the cache."""
    return [program for program in programs if not program.path(layout).exists()]


def ensure_clients(layout: Layout, steps: Steps, *others: Program) -> None:
    """Have kubectl and helm: the user's own, else ours (kubectl comes with all of Kubernetes)."""
    absent = [each for each in CLIENTS if not all(map(shutil.which, clients_of(each)))]
    ensure(layout, steps, [*others, *absent])


def clients_of(program: Program) -> tuple[str, ...]:
    """Return which of a program's names a user's machine may bring itself."""
    return tuple(name for name in program.links if name in {"kubectl", "helm"})


def ensure(layout: Layout, steps: Steps, programs: Sequence[Program]) -> None:
    """Build what is missing and point the links at it."""
    absent = missing(layout, programs)
    for program in absent:
        with steps.step(
            f"build {program.name}",
            log=f"build-{program.name}",
            remedy="the Go module proxy must be reachable (GOPROXY, HTTPS_PROXY); run it again,"
            " what was fetched and compiled is kept",
        ) as step:
            find(layout, step.shell).build(
                step.shell,
                module=program.module,
                package=program.package,
                output=program.path(layout),
                ldflags=program.flags(),
            )
    for program in programs:
        link(layout, program)


def link(layout: Layout, program: Program) -> None:
    """Make the program callable by each of its names."""
    layout.bin.mkdir(parents=True, exist_ok=True)
    target = program.path(layout)
    for name in program.links:
        place = layout.bin / name
        if place.is_symlink() and place.readlink() == target:
            continue
        fresh = place.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.symlink_to(target)
        fresh.rename(place)
