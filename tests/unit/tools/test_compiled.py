"""Which modules are compiled, and what happens where they cannot be."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tools.cluster.layout import REPOSITORY
from tools.compiled.__main__ import main
from tools.compiled.build import key, overlay
from tools.compiled.modules import COMPILER, MODULES, place


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for each in map(place, MODULES):
        target = tmp_path / "repository" / each
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(REPOSITORY / each, target)
    return tmp_path / "repository"


def test_they_are_there_in_order_and_so_is_their_compiler() -> None:
    assert list(MODULES[1:]) == sorted(set(MODULES[1:]))
    assert not [
        each for each in (*map(place, MODULES), *COMPILER) if not (REPOSITORY / each).exists()
    ]


@pytest.mark.parametrize("module", ["klambda_gateway.auth.sigv4", "klambda_obs.tally"])
def test_each_source_moves_the_key_and_nothing_else_does(copy: Path, module: str) -> None:
    before = key(copy)
    assert before == key(REPOSITORY)
    (copy / "gateway/klambda_gateway/app.py").write_text("other")
    assert key(copy) == before
    source = copy / place(module)
    source.write_text(source.read_text() + "\n")
    assert key(copy) != before


def test_without_a_compiler_the_build_says_so_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    main(tmp_path / "machine-code")
    assert list((tmp_path / "machine-code").iterdir()) == []
    told = capsys.readouterr().out
    assert "NOT COMPILED" in told
    assert "interpreted" in told
    assert "no C compiler" in told


def test_compiled_modules_lie_beside_their_sources(tmp_path: Path) -> None:
    compiled = tmp_path / "compiled" / "klambda_gateway" / "auth"
    compiled.mkdir(parents=True)
    (compiled / "sigv4.so").touch()
    tree = overlay(REPOSITORY, tmp_path / "compiled", tmp_path / "tree")
    assert {"sigv4.so", "sigv4.py"} <= {
        each.name for each in (tree / "klambda_gateway" / "auth").iterdir()
    }
    assert (tree / "klambda_obs" / "tally.py").exists()
