"""The README's two doors, and the examples', run as a newcomer pastes them."""

from __future__ import annotations

import re

import pytest

from tests.support.cluster import LAYOUT, REPOSITORY, Cluster
from tests.support.documented import blocks, paste

SOURCING = ". .klambda/env"
SAID = (
    '"myLambdaFunction"',
    r'"{\"area\": 42}"',
    "function.klambda.io/hello created",
    '"hello kubectl"',
    "hello world",  # the URL
    "10",  # the timeout
    "hello-v1",
)
"""What must be said, in this order."""


def commands() -> str:
    """Return the shell blocks of the section, in order."""
    found = blocks("README.md", "\n## Two doors\n")
    assert found[0].strip() == SOURCING
    return "".join(found).replace(SOURCING, f". {LAYOUT.environment}", 1)


@pytest.mark.slow
def test_the_two_doors_of_the_readme(cluster: Cluster) -> None:
    cluster.kubectl("delete", "fn", "hello", "--ignore-not-found")
    said = paste(cluster, commands())
    lines = [line.strip() for line in said.splitlines()]
    place = -1
    for word in SAID:
        place = next((n for n, line in enumerate(lines) if n > place and word in line), len(lines))
        assert place < len(lines), f"{word} is missing, or out of order, in:\n{said}"
    assert cluster.one("fn", "hello") is None


INDENTED = re.compile(r"^    (.*)$", re.MULTILINE)
EXAMPLES = {
    "area": ("area", "myArea", r'"{\"area\": 42}"'),
    "shell": ("custom", "area-shell", '{"shell": {"length": 6, "width": 7}}'),
    "go": ("custom", "area-go", '{"area":42,"requestId":"'),
    "rust": ("custom", "area-rust", '{"area":42'),
}
"""Of each example: its folder, its function, and what that answers."""


@pytest.mark.full
@pytest.mark.timeout(600)
@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_as_its_readme_says(cluster: Cluster, example: str) -> None:
    """Of custom runtimes the README shows Go's; the others are the same with another word."""
    folder, name, answer = EXAMPLES[example]
    text = (REPOSITORY / "examples" / folder / "README.md").read_text()
    script = "\n".join(INDENTED.findall(text))
    if folder == "custom":
        script = re.sub(r"#.*", "", script)
        script = script.replace("go.zip", f"{example}.zip").replace("area-go", f"area-{example}")
    try:
        assert answer in paste(cluster, script, timeout=500)
    finally:
        cluster.aws.delete_function(FunctionName=name)
