"""Java functions for tests: compiled with the machine's javac against pinned jars of Maven Central.

A lock file has lines of `sha256  path in the repository`, as `runtimes/java21/jars.lock`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import urllib.request
from collections.abc import Iterable
from pathlib import Path

from tools.cluster.layout import Layout

LAYOUT = Layout.of(os.environ)
MAVEN = "https://repo1.maven.org/maven2"
RUNTIME_JARS = LAYOUT.repository / "runtimes" / "java21" / "jars.lock"
RELEASE = "17"  # what Debian 12's javac can


def jars(lock: Path) -> list[Path]:
    """Return the jars of a lock file, from the cache or fetched and verified."""
    pinned = [line.split() for line in lock.read_text().splitlines()]
    return [_jar(digest, path) for digest, path in pinned]


def _jar(digest: str, path: str) -> Path:
    place = LAYOUT.cache / "jars" / f"{digest[:16]}-{Path(path).name}"
    if not place.exists():
        place.parent.mkdir(parents=True, exist_ok=True)
        with urllib.request.urlopen(f"{MAVEN}/{path}", timeout=60) as answer:
            content: bytes = answer.read()
        assert hashlib.sha256(content).hexdigest() == digest, path
        partial = place.with_suffix(f".{os.getpid()}.partial")
        partial.write_bytes(content)
        partial.rename(place)
    return place


def compiled(sources: Path, libraries: Iterable[Path], target: Path) -> dict[str, bytes]:
    """Compile all sources below a folder; return class files by their path in a zip."""
    javac = shutil.which("javac")
    assert javac is not None, "javac is missing: `make test` installs default-jdk-headless"
    path = os.pathsep.join(map(str, [*libraries, *jars(RUNTIME_JARS)]))
    files = sorted(sources.rglob("*.java"))
    command = [javac, "--release", RELEASE, "-d", str(target), "-cp", path, *map(str, files)]
    subprocess.run(command, check=True)
    return {
        str(each.relative_to(target)): each.read_bytes() for each in sorted(target.rglob("*.class"))
    }
