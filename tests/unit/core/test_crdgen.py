"""The CRD generator: exhaustive, structural, and the committed files are fresh."""

from pathlib import Path
from typing import Any

import pytest

from klambda_core.crd import MODELS
from tools import crdgen


def test_the_committed_files_are_fresh() -> None:
    assert crdgen.stale(crdgen.CRDS) == [], "run `python -m tools.crdgen`"


def test_a_stale_or_foreign_file_is_found(tmp_path: Path) -> None:
    for name, text in crdgen.files().items():
        (tmp_path / name).write_text(text)
    assert crdgen.stale(tmp_path) == []
    (tmp_path / "klambda.io_functions.yaml").write_text("other")
    (tmp_path / "more.yaml").write_text("x")
    assert len(crdgen.stale(tmp_path)) == 2


@pytest.mark.parametrize(
    "node",
    [
        {"type": "string", "uniqueItems": True},
        {"oneOf": [{"type": "string"}]},
        {"anyOf": [{"type": "string"}, {"type": "integer"}]},
        {"type": "object", "patternProperties": {}},
        {"type": "object", "propertyNames": {}},
        {"type": "object", "additionalProperties": False},
        {"type": "integer", "exclusiveMinimum": 1},
    ],
)
def test_an_unknown_keyword_is_an_error(node: dict[str, Any]) -> None:
    with pytest.raises(crdgen.UnknownKeyword):
        crdgen.Translator({}).translate(node, "x")


def test_references_optionals_and_constants_are_rewritten() -> None:
    node = {
        "anyOf": [{"$ref": "#/$defs/X"}, {"type": "null"}],
        "default": None,
        "title": "T",
        "x-kubernetes-validations": [{"rule": "b"}],
    }
    definitions: dict[str, Any] = {
        "X": {
            "type": "object",
            "properties": {"a": {"const": "one", "type": "string"}},
            "x-kubernetes-validations": [{"rule": "a"}],
        }
    }
    assert crdgen.Translator(definitions).translate(node, "x") == {
        "type": "object",
        "properties": {"a": {"enum": ["one"], "type": "string"}},
        "x-kubernetes-validations": [{"rule": "a"}, {"rule": "b"}],
    }


def nodes(schema: dict[str, Any], path: str) -> list[tuple[str, dict[str, Any]]]:
    found = [(path, schema)]
    for name, child in schema.get("properties", {}).items():
        found += nodes(child, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if keyword in schema:
            found += nodes(schema[keyword], f"{path}.{keyword}")
    return found


ALL = [node for model in MODELS for node in nodes(crdgen.schema(model), model.__name__)]
BELOW_SPEC = [(path, node) for path, node in ALL if ".spec." in path]


@pytest.mark.parametrize(("path", "node"), ALL, ids=[path for path, _ in ALL])
def test_every_node_is_typed(path: str, node: dict[str, Any]) -> None:
    assert node["type"] in {"object", "array", "string", "integer", "number", "boolean"}


def test_every_field_explains_itself() -> None:
    bare = [
        path
        for path, node in BELOW_SPEC
        if not node.get("description") and not path.endswith((".items", ".additionalProperties"))
    ]
    assert bare == []


def test_everything_is_bounded() -> None:
    """Without bounds the API server cannot estimate what a CEL rule costs."""
    for path, node in BELOW_SPEC:
        if node["type"] == "array":
            assert "maxItems" in node, path
            assert "x-kubernetes-list-type" in node, path
        if node["type"] == "string" and "enum" not in node:
            assert "maxLength" in node or "pattern" in node, path
        if "additionalProperties" in node:
            assert "maxProperties" in node, path


def test_every_rule_has_a_message() -> None:
    for path, node in ALL:
        for rule in node.get("x-kubernetes-validations", []):
            assert rule["message"], path


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert crdgen.main(["--check"]) == 0
    assert capsys.readouterr().out == ""
