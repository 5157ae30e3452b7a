"""Debian packages of the native cluster and of `make test`: installs those that are missing.

They stay when the cluster goes. Decided by the file that each is needed for, so that a program
installed in another way counts.
"""

from __future__ import annotations

import shutil
import sysconfig
from collections.abc import Mapping
from pathlib import Path

from tools.cluster.steps import Steps

SYSTEM_FOLDERS = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Program or file -> the package that has it.
NATIVE: Mapping[str, str] = {
    "/etc/ssl/certs/ca-certificates.crt": "ca-certificates",
    "/usr/lib/cni/bridge": "containernetworking-plugins",
    "buildah": "buildah",
    "containerd": "containerd",
    "crun": "crun",
    "ip": "iproute2",
    "iptables": "iptables",
    "mmdebstrap": "mmdebstrap",
    "mount": "mount",
}
# What the tests' own functions are compiled with, and AWS's Node.js client.
TESTS: Mapping[str, str] = {
    "autoreconf": "autoconf",
    "automake": "automake",
    "cmake": "cmake",
    "g++": "g++",
    "libtoolize": "libtool",
    "make": "make",
    "javac": "default-jdk-headless",
    # To compile the hot modules for the interpreter that runs the tests (tools.compiled).
    f"{sysconfig.get_path('include')}/Python.h": f"python{sysconfig.get_python_version()}-dev",
}


def missing(wanted: Mapping[str, str] = NATIVE) -> list[str]:
    """Return the packages whose file is not on this machine."""
    return sorted({package for needed, package in wanted.items() if not present(needed)})


def present(needed: str) -> bool:
    """Whether a program is found, or a file exists."""
    if needed.startswith("/"):
        return Path(needed).exists()
    return shutil.which(needed, path=SYSTEM_FOLDERS) is not None


def ensure(steps: Steps, wanted: Mapping[str, str] = NATIVE) -> None:
    """Install what is missing."""
    absent = missing(wanted)
    if not absent:
        return
    with steps.step(
        f"install {' '.join(absent)}",
        log="packages",
        remedy="needs root and apt; elsewhere install these packages by hand, or use Docker",
    ) as step:
        extra = {"DEBIAN_FRONTEND": "noninteractive"}
        patience = "-oDPkg::Lock::Timeout=120"
        step.shell.stream("apt-get", patience, "update", extra=extra)
        step.shell.stream(
            "apt-get", patience, "install", "--yes", "--no-install-recommends", *absent,
            extra=extra,
        )  # fmt: skip
        left = missing(wanted)
        if left:
            raise ValueError(f"still missing: {' '.join(left)}")
