"""The README's two doors, and the examples', run as a newcomer pastes them."""

from __future__ import annotations

import re
import subprocess

import pytest

from tests.support.cluster import LAYOUT, REPOSITORY, Cluster

SOURCING = ". .klambda/env"
BLOCK = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
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
    text = (REPOSITORY / "README.md").read_text()
    _, _, rest = text.partition("\n## Two doors\n")
    section, _, _ = rest.partition("\n## ")
    blocks = BLOCK.findall(section)
    assert blocks[0].strip() == SOURCING
    return "".join(blocks).replace(SOURCING, f". {LAYOUT.environment}", 1)


@pytest.mark.slow
def test_the_two_doors_of_the_readme(cluster: Cluster) -> None:
    cluster.kubectl("delete", "fn", "hello", "--ignore-not-found")
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", commands()],
        cwd=REPOSITORY, env=cluster.env, capture_output=True, text=True, timeout=100,
    )  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    lines = [line.strip() for line in done.stdout.splitlines()]
    place = -1
    for word in SAID:
        place = next((n for n, line in enumerate(lines) if n > place and word in line), len(lines))
        assert place < len(lines), f"{word} is missing, or out of order, in:\n{done.stdout}"
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
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=REPOSITORY, env=cluster.env, capture_output=True, text=True, timeout=500,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        assert answer in done.stdout
    finally:
        cluster.aws.delete_function(FunctionName=name)
