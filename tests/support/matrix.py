"""What every runtime is shown to do, and by which test: the source of docs/runtimes.md.

A cell names tests as `file::function`; the page says yes where there is one. A unit test sees to it
that each exists, and that the page is what this table renders (`make golden` rewrites it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LANGUAGES = ("python3.13", "nodejs22.x", "java21", "provided.al2023", "container images")
P, N, J, C, I = LANGUAGES  # noqa: E741

RUNTIMES = "tests/e2e/test_runtimes.py"
EDGES = "tests/e2e/test_edges.py"
IMAGES = "tests/e2e/test_images.py"
INVOKE = "tests/e2e/test_invoke.py"
LAYERS = "tests/e2e/test_layers.py"
STREAMS = "tests/e2e/test_streaming.py"
LIBRARIES = "tests/e2e/test_libraries.py"
EXTENSIONS = "tests/e2e/test_extensions.py"
INIT = "tests/integration/init"

NOT_MEANT = "n/a"
"""The language has no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One behaviour; `tests` by language, `absent`: languages for which it means nothing."""

    behaviour: str
    tests: Mapping[str, str]
    absent: Sequence[str] = ()


def everywhere(test: str, *languages: str) -> dict[str, str]:
    """One test that shows it for several languages."""
    return dict.fromkeys(languages or LANGUAGES, test)


ROWS = (
    Row(
        behaviour="AWS's own runtime interface client, unmodified, answers",
        tests={
            P: f"{INVOKE}::test_an_instance_keeps_its_globals_and_goes_when_idle",
            N: f"{RUNTIMES}::test_the_environment_is_lambdas",
            J: f"{RUNTIMES}::test_java_handlers_in_every_form",
            C: f"{RUNTIMES}::test_a_go_function_with_awss_library",
            I: f"{IMAGES}::test_debian_with_awss_client",
        },
    ),
    Row(
        behaviour="Rust (`lambda_runtime`), Go (`aws-lambda-go`), ten lines of shell",
        tests={C: f"{RUNTIMES}::test_a_rust_function_with_awss_library"},
        absent=(P, N, J, I),
    ),
    Row(
        behaviour="The environment is Lambda's, name by name",
        tests={
            **everywhere(f"{RUNTIMES}::test_the_environment_is_lambdas", P, N, C),
            J: f"{RUNTIMES}::test_java_has_lambdas_environment_and_share_of_memory",
            I: f"{IMAGES}::test_debian_with_awss_client",
        },
    ),
    Row(
        behaviour="Search paths of layers",
        tests={
            P: f"{LAYERS}::test_layers_are_merged_in_order_and_outlive_their_deletion",
            J: f"{RUNTIMES}::test_java_finds_the_libraries_of_layers",
        },
        absent=(I,),
    ),
    Row(
        behaviour="Extensions from a layer",
        tests={P: f"{EXTENSIONS}::test_an_extension_from_a_layer"},
    ),
    Row(
        behaviour="Streamed answers",
        tests={N: f"{STREAMS}::test_a_stream_as_the_sdks_read_it"},
        absent=(P,),
    ),
    Row(
        behaviour="AWS's SDK of the image calls this installation",
        tests=everywhere(f"{LIBRARIES}::test_the_sdk_of_the_image_calls_us_back", P, N),
        absent=(J, C, I),
    ),
    Row(
        behaviour="NumPy and pandas; Powertools",
        tests={P: f"{LIBRARIES}::test_numpy_and_pandas"},
        absent=(N, J, C, I),
    ),
    Row(
        behaviour="`AWS_LAMBDA_EXEC_WRAPPER`",
        tests={
            **everywhere(f"{RUNTIMES}::test_a_wrapper_runs_before_the_runtime", P, N),
            J: f"{RUNTIMES}::test_a_wrapper_runs_before_java",
        },
        absent=(C, I),
    ),
    Row(
        behaviour="An exception has the client's body",
        tests={
            P: f"{INVOKE}::test_a_function_that_fails_gives_lambdas_bodies",
            N: f"{EDGES}::test_node_errors_have_lambdas_bodies",
            J: f"{RUNTIMES}::test_java_errors_have_lambdas_bodies",
            C: f"{RUNTIMES}::test_a_go_function_with_awss_library",
        },
    ),
    Row(
        behaviour="A module or handler that is not there is told by name",
        tests={
            P: f"{INVOKE}::test_a_function_that_cannot_start_says_why",
            N: f"{EDGES}::test_a_node_function_that_cannot_start_says_why",
            J: f"{RUNTIMES}::test_java_errors_have_lambdas_bodies",
            C: f"{INIT}/test_safety.py::test_a_custom_runtime_that_cannot_be_started",
            I: f"{IMAGES}::test_the_layout_of_awss_base_images",
        },
    ),
    Row(
        behaviour="Exit, abort, signal: `Runtime.ExitError`, then a new environment",
        tests={
            P: f"{EDGES}::test_python_ends",
            N: f"{EDGES}::test_node_ends",
            J: f"{RUNTIMES}::test_java_errors_have_lambdas_bodies",
            I: f"{IMAGES}::test_debian_with_awss_client",
        },
    ),
    Row(
        behaviour="More memory than memorySize",
        tests={P: f"{EDGES}::test_python_ends", N: f"{EDGES}::test_node_ends"},
    ),
    Row(
        behaviour="Timeout: `Sandbox.Timedout`; globals lost, /tmp kept",
        tests={
            P: f"{EDGES}::test_globals_are_kept_until_something_breaks",
            N: f"{EDGES}::test_node_errors_have_lambdas_bodies",
        },
    ),
    Row(
        behaviour="Nothing runs between invocations; daemons end with their environment",
        tests={P: f"{EDGES}::test_nothing_runs_between_invocations"},
    ),
    Row(
        behaviour="At most 1,024 processes",
        tests={P: f"{EDGES}::test_processes_are_limited"},
    ),
    Row(
        behaviour="Only /tmp is writable",
        tests={
            **everywhere(f"{EDGES}::test_only_tmp_can_be_written", P, N),
            I: f"{IMAGES}::test_debian_with_awss_client",
        },
    ),
    Row(
        behaviour="Events and answers of 6 MB, and one byte more",
        tests=everywhere(f"{EDGES}::test_answers_of_six_megabytes", P, N),
    ),
    Row(
        behaviour="Answers that are no JSON, JSON 100,000 levels deep",
        tests=everywhere(f"{EDGES}::test_json_that_is_deep", P, N),
    ),
    Row(
        behaviour="100 MB of output in bounded memory; output that is no text",
        tests={P: f"{EDGES}::test_a_flood_of_output_costs_no_memory"},
    ),
    Row(
        behaviour="An INIT that always fails never crashes its pod",
        tests={P: f"{EDGES}::test_an_init_that_always_fails_does_not_crash_its_pod"},
    ),
    Row(
        behaviour="An INIT longer than 10 s is done again in the invocation",
        tests={P: f"{EDGES}::test_an_init_longer_than_ten_seconds_is_done_again_in_the_invocation"},
    ),
    Row(
        behaviour="ImageConfig replaces ENTRYPOINT, CMD, WORKDIR; digests are pinned",
        tests={I: f"{IMAGES}::test_an_image_of_kubectl_and_what_is_published"},
        absent=(P, N, J, C),
    ),
    Row(
        behaviour="A plain web server behind an adapter extension",
        tests={I: f"{INIT}/test_images.py::test_a_plain_web_server_behind_an_adapter"},
        absent=(P, N, J, C),
    ),
)


INTRODUCTION = (
    "Every cell is a test that runs against the real cluster, or against the real init "
    "(`tests/integration`). An empty cell is not tested for that language, though init treats all "
    "alike; n/a: it means nothing there. Made from `tests/support/matrix.py` by `make golden`; a "
    "test keeps it true."
)


def render() -> str:
    """The page."""
    lines = [
        "# Runtimes: what is shown",
        "",
        INTRODUCTION,
        "",
        f"| behaviour | {' | '.join(LANGUAGES)} |",
        f"|---|{'---|' * len(LANGUAGES)}",
    ]
    lines += [_line(row) for row in ROWS]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = []
    for language in LANGUAGES:
        test = row.tests.get(language)
        if test is None:
            cells.append(NOT_MEANT if language in row.absent else "")
        else:
            file, _, function = test.partition("::")
            cells.append(f'[yes](../{file} "{function}")')
    return f"| {row.behaviour} | {' | '.join(cells)} |"
