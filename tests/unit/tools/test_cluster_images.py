"""Image tags follow from what goes in, and from nothing else."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tools.cluster.images.base import Base
from tools.cluster.images.catalogue import RUNTIMES
from tools.cluster.images.contexts import Context, control_plane, runtime, tree
from tools.cluster.layout import REPOSITORY


@pytest.fixture
def context(tmp_path: Path) -> Context:
    source = tmp_path / "a"
    source.write_text("text")
    return Context(name="thing", files={"a": source}, arguments={"X": "1"}, base="b")


def test_the_tag_is_twelve_hex_and_stable(context: Context) -> None:
    assert len(context.tag()) == 12
    assert context.tag() == context.tag()
    assert context.reference() == f"docker.io/klambda/thing:{context.tag()}"
    assert context.reference("registry.example/x").startswith("registry.example/x/thing:")


def test_everything_that_goes_in_moves_the_tag(context: Context, tmp_path: Path) -> None:
    source = tmp_path / "a"
    tags = {context.tag()}
    for other in (
        replace(context, base="c"),
        replace(context, arguments={"X": "2"}),
        replace(context, files={"b": source}),
        replace(context, files={"a": source, "b": source}),
    ):
        tags.add(other.tag())
    source.chmod(0o755)
    tags.add(context.tag())
    source.write_text("other text")
    tags.add(context.tag())
    assert len(tags) == 7


def test_times_do_not_move_the_tag(context: Context, tmp_path: Path) -> None:
    before = context.tag()
    os.utime(tmp_path / "a", (1, 1))
    assert context.tag() == before


def test_freezing_copies_files_and_modes_and_holds_them(context: Context, tmp_path: Path) -> None:
    (tmp_path / "a").chmod(0o755)
    folder = tmp_path / "context"
    folder.mkdir()
    (folder / "stale").touch()
    frozen = context.frozen(folder)
    assert [path.name for path in folder.iterdir()] == ["a"]
    assert (folder / "a").stat().st_mode & 0o777 == 0o755
    assert frozen.place == folder
    (tmp_path / "a").write_text("edited meanwhile")
    assert frozen.tag() != context.tag()
    with pytest.raises(ValueError, match="not frozen"):
        _ = context.place


def test_compiled_files_and_caches_are_left_out(tmp_path: Path) -> None:
    for name in ("m.py", "__pycache__/m.pyc", ".mypy_cache/x", "k.egg-info"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert set(tree(tmp_path, "p")) == {"p/m.py"}


def test_the_control_plane_has_no_tests_and_no_tools() -> None:
    places = control_plane(REPOSITORY, base="b").files
    assert {place.split("/")[0] for place in places} <= {
        "Dockerfile", "requirements", "common", "gateway", "operator", "store", "hot",
    }  # fmt: skip
    assert "Dockerfile" in places


def test_no_compiler_gets_into_the_control_plane() -> None:
    """What is compiled is compiled in a stage of its own, whose result alone is copied."""
    text = (REPOSITORY / "Dockerfile").read_text()
    final = text.rpartition("FROM ")[2]
    assert "gcc" in text
    assert "gcc" not in final
    assert "/compiler" not in final
    assert "COPY --from=compiled /build/machine-code /app/klambda" in final


@pytest.mark.parametrize("identifier", RUNTIMES)
def test_a_runtime_is_made_again_for_another_init(identifier: str, tmp_path: Path) -> None:
    init = tmp_path / "init"
    init.write_bytes(b"1")
    image = runtime(REPOSITORY, identifier, init=init, init_version="1", base="b")
    assert {"Dockerfile", "init"} <= set(image.files)
    assert ("bootstrap" in image.files) is not identifier.startswith("provided")
    before = image.tag()
    init.write_bytes(b"2")
    assert image.tag() != before


def test_another_recipe_is_another_base() -> None:
    assert Base().key() != Base(packages=("ca-certificates", "less")).key()
    assert Base().reference() != Base(suite="sid").reference()


@pytest.mark.parametrize("identifier", RUNTIMES)
def test_runtimes_run_as_lambdas_user_with_a_numeric_id(identifier: str) -> None:
    text = (REPOSITORY / "runtimes" / identifier / "Dockerfile").read_text()
    assert "USER 993:" in text  # runAsNonRoot needs a number
    assert 'ENTRYPOINT ["/klambda/init"]' in text
    assert f"io.klambda.init=${{INIT_VERSION}} io.klambda.runtime={identifier}" in text


def test_locks_name_no_registry() -> None:
    for lock in [*REPOSITORY.glob("runtimes/*/*.lock"), *REPOSITORY.glob("tests/**/jars.lock")]:
        assert "://" not in lock.read_text(), lock
    for lock in REPOSITORY.glob("runtimes/*/package-lock.json"):
        assert '"resolved"' not in lock.read_text(), lock


def test_dockerfiles_build_with_docker_before_buildkit_too() -> None:
    """Debian 12's Docker, and a client without buildx, know neither --chmod nor --mount."""
    for dockerfile in REPOSITORY.glob("**/Dockerfile"):
        words = dockerfile.read_text().split()
        assert not [word for word in words if word.startswith(("--chmod", "--mount", "<<"))]


@pytest.mark.parametrize("identifier", RUNTIMES)
def test_programs_of_a_runtime_are_executable_in_the_repository(identifier: str) -> None:
    for program in ("bootstrap", "train"):
        path = REPOSITORY / "runtimes" / identifier / program
        assert not path.exists() or path.stat().st_mode & 0o111
