"""What every runtime is shown to do, and by which test: the source of docs/runtimes.md.

A cell names tests as `file::function`; the page says yes where there is one. A unit test sees to it
that each exists, and that the page is what this table renders (`make golden` rewrites it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

LANGUAGES = (
    "python3.13", "nodejs22.x", "nodejs24.x", "java21", "provided.al2023", "container images",
)  # fmt: skip
P, N, M, J, C, I = LANGUAGES  # noqa: E741

RUNTIMES = "tests/e2e/test_runtimes.py"
EDGES = "tests/e2e/test_edges.py"
IMAGES = "tests/e2e/test_images.py"
INVOKE = "tests/e2e/test_invoke.py"
LAYERS = "tests/e2e/test_layers.py"
STREAMS = "tests/e2e/test_streaming.py"
LIBRARIES = "tests/e2e/test_libraries.py"
EXTENSIONS = "tests/e2e/test_extensions.py"
LOGS = "tests/e2e/test_logs.py"
URLS = "tests/e2e/test_urls.py"
EVERY = "tests/e2e/test_every_runtime.py"
INIT = "tests/integration/init"
NODE_24 = f"{RUNTIMES}::test_node_24"
CUSTOM = f"{EDGES}::test_a_custom_runtime_ends"
JAVA = f"{RUNTIMES}::test_java_errors_have_lambdas_bodies"
JAVA_ENDS = f"{RUNTIMES}::test_java_without_memory_or_time"
IMAGE = f"{IMAGES}::test_debian_with_awss_client"
OTHERS = (N, M, J, C, I)
"""Asked by EVERY."""

OF_IMAGES = "It is about images."
NOT_MEANT = "n/a"
"""The language has no such thing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One behaviour; `tests` by language, `absent`: where it means nothing, `because` says why."""

    behaviour: str
    tests: Mapping[str, str]
    absent: Sequence[str] = ()
    because: str = ""


def everywhere(test: str, *languages: str) -> dict[str, str]:
    """One test that shows it for several languages."""
    return dict.fromkeys(languages or LANGUAGES, test)


ROWS = (
    Row(
        behaviour="AWS's own runtime interface client, unmodified, answers",
        tests={
            P: f"{INVOKE}::test_an_instance_keeps_its_globals_and_goes_when_idle",
            N: f"{RUNTIMES}::test_the_environment_is_lambdas",
            M: NODE_24,
            J: f"{RUNTIMES}::test_java_handlers_in_every_form",
            C: f"{RUNTIMES}::test_a_go_function_with_awss_library",
            I: IMAGE,
        },
    ),
    Row(
        behaviour="Handlers in every form: callback, promise, module; typed, stream, method",
        tests={
            N: f"{INIT}/test_node_functions.py::test_callback_handlers",
            M: NODE_24,
            J: f"{RUNTIMES}::test_java_handlers_in_every_form",
        },
        absent=(P, C, I),
        because="Python has one form; a custom runtime's handler is only a word; an image's is its "
        "client's.",
    ),
    Row(
        behaviour="Rust (`lambda_runtime`), Go (`aws-lambda-go`), ten lines of shell",
        tests={C: f"{RUNTIMES}::test_a_rust_function_with_awss_library"},
        absent=(P, N, M, J, I),
        because="These are what custom runtimes are made of.",
    ),
    Row(
        behaviour="The environment is Lambda's, name by name",
        tests={
            **everywhere(f"{RUNTIMES}::test_the_environment_is_lambdas", P, N, M, C),
            J: f"{RUNTIMES}::test_java_has_lambdas_environment_and_share_of_memory",
            I: IMAGE,
        },
    ),
    Row(
        behaviour="Search paths of layers",
        tests={
            P: f"{LAYERS}::test_layers_are_merged_in_order_and_outlive_their_deletion",
            J: f"{RUNTIMES}::test_java_finds_the_libraries_of_layers",
            **everywhere(f"{LAYERS}::test_modules_programs_and_bootstraps_of_layers", N, M, C),
        },
        absent=(I,),
        because="Images have no layers, as on AWS.",
    ),
    Row(
        behaviour="Extensions: INVOKE and SHUTDOWN, telemetry",
        tests={
            P: f"{EXTENSIONS}::test_an_extension_from_a_layer",
            **everywhere(f"{EVERY}::test_an_extension", N, M, J, C),
            I: f"{IMAGES}::test_extensions_inside_an_image",
        },
    ),
    Row(
        behaviour="Streamed answers",
        tests={
            N: f"{STREAMS}::test_a_stream_as_the_sdks_read_it",
            M: NODE_24,
            C: f"{EVERY}::test_a_stream_of_a_custom_runtime",
        },
        absent=(P, J, I),
        because="AWS's clients for Python and Java cannot stream (AWS: Node.js and custom "
        "runtimes); an image streams when its client does, by the same calls.",
    ),
    Row(
        behaviour="AWS's SDK of the image calls this installation",
        tests=everywhere(f"{LIBRARIES}::test_the_sdk_of_the_image_calls_us_back", P, N, M),
        absent=(J, C, I),
        because="Only Lambda's images for Python and Node.js bring an SDK.",
    ),
    Row(
        behaviour="60 MB of NumPy, pandas, SciPy and scikit-learn; Jackson",
        tests={
            P: f"{LIBRARIES}::test_numpy_and_pandas",
            J: f"{LIBRARIES}::test_jackson",
        },
        absent=(N, M, C, I),
        because="They are libraries of Python and Java.",
    ),
    Row(
        behaviour="Powertools: logger, metrics, parameters; an AWS SDK v3 of the function's own",
        tests=everywhere(f"{LIBRARIES}::test_powertools", P, N, M),
        absent=(J, C, I),
        because="Tried of Python and TypeScript; an image brings what it likes.",
    ),
    Row(
        behaviour="Web frameworks behind a function URL: FastAPI and Mangum, Express",
        tests={
            P: f"{LIBRARIES}::test_fastapi_behind_a_url",
            **everywhere(f"{LIBRARIES}::test_express_behind_a_url", N, M),
        },
        absent=(J, C, I),
        because="They are frameworks of Python and Node.js; of images see the plain web server.",
    ),
    Row(
        behaviour="`AWS_LAMBDA_EXEC_WRAPPER`",
        tests={
            **everywhere(f"{RUNTIMES}::test_a_wrapper_runs_before_the_runtime", P, N, M),
            J: f"{RUNTIMES}::test_a_wrapper_runs_before_java",
        },
        absent=(C, I),
        because="AWS documents it for managed runtimes only: the bootstrap's duty.",
    ),
    Row(
        behaviour="An exception has the client's body",
        tests={
            P: f"{INVOKE}::test_a_function_that_fails_gives_lambdas_bodies",
            N: f"{EDGES}::test_node_errors_have_lambdas_bodies",
            M: NODE_24,
            J: JAVA,
            C: f"{RUNTIMES}::test_a_go_function_with_awss_library",
            I: IMAGE,
        },
    ),
    Row(
        behaviour="A module or handler that is not there is told by name",
        tests={
            P: f"{INVOKE}::test_a_function_that_cannot_start_says_why",
            N: f"{EDGES}::test_a_node_function_that_cannot_start_says_why",
            M: NODE_24,
            J: JAVA,
            C: f"{INIT}/test_safety.py::test_a_custom_runtime_that_cannot_be_started",
            I: f"{IMAGES}::test_the_layout_of_awss_base_images",
        },
    ),
    Row(
        behaviour="Exit, abort, signal: `Runtime.ExitError`, then a new environment",
        tests={
            P: f"{EDGES}::test_python_ends",
            N: f"{EDGES}::test_node_ends",
            M: NODE_24,
            J: JAVA,
            C: CUSTOM,
            I: IMAGE,
        },
    ),
    Row(
        behaviour="Rejections and throws that come after the answer",
        tests=everywhere(f"{EDGES}::test_node_errors_have_lambdas_bodies", N, M),
        absent=(P, J, C, I),
        because="Only Node.js has an event loop that goes on after the answer.",
    ),
    Row(
        behaviour="More memory than memorySize",
        tests={
            P: f"{EDGES}::test_python_ends",
            **everywhere(f"{EDGES}::test_node_ends", N, M),
            J: JAVA_ENDS,
            C: CUSTOM,
            I: f"{EVERY}::test_memory_and_time",
        },
    ),
    Row(
        behaviour="Timeout: `Sandbox.Timedout`; globals lost, /tmp kept",
        tests={
            P: f"{EDGES}::test_globals_are_kept_until_something_breaks",
            **everywhere(f"{EDGES}::test_node_errors_have_lambdas_bodies", N, M),
            J: JAVA_ENDS,
            C: CUSTOM,
            I: f"{EVERY}::test_memory_and_time",
        },
    ),
    Row(
        behaviour="The deadline, and what remains until it",
        tests={
            P: f"{INIT}/test_python_functions.py::test_the_context_knows_its_deadline_and_names",
            N: f"{INIT}/test_node_functions.py::test_an_event_becomes_an_answer",
            J: f"{RUNTIMES}::test_java_has_lambdas_environment_and_share_of_memory",
            **everywhere(f"{EVERY}::test_the_deadline", M, C, I),
        },
    ),
    Row(
        behaviour="Nothing runs between invocations",
        tests={
            P: f"{EDGES}::test_nothing_runs_between_invocations",
            **everywhere(f"{EVERY}::test_nothing_runs_between_invocations", *OTHERS),
        },
    ),
    Row(
        behaviour="Only /tmp is writable",
        tests={
            **everywhere(f"{EDGES}::test_only_tmp_can_be_written", P, N, M),
            J: f"{EVERY}::test_only_tmp_can_be_written",
            C: CUSTOM,
            I: IMAGE,
        },
    ),
    Row(
        behaviour="Events and answers of 6 MB, and one byte more",
        tests={
            **everywhere(f"{EDGES}::test_answers_of_six_megabytes", P, N, M),
            **everywhere(f"{EVERY}::test_sizes_and_depths", J, C, I),
        },
    ),
    Row(
        behaviour="JSON 100,000 levels deep",
        tests={
            **everywhere(f"{EDGES}::test_json_that_is_deep", P, N, M),
            **everywhere(f"{EVERY}::test_sizes_and_depths", J, C, I),
        },
    ),
    Row(
        behaviour="Log records with several lines stay one, in text and in JSON",
        tests={
            **everywhere(f"{LOGS}::test_json_and_text", P, N),
            M: NODE_24,
            J: f"{LIBRARIES}::test_jackson",
            I: IMAGE,
        },
        absent=(C,),
        because="A custom runtime writes lines: it gets no `_LAMBDA_TELEMETRY_LOG_FD`.",
    ),
    Row(
        behaviour="100 MB of output in bounded memory; output that is no text",
        tests={
            P: f"{EDGES}::test_a_flood_of_output_costs_no_memory",
            **everywhere(f"{EVERY}::test_output_without_bounds", *OTHERS),
        },
    ),
    Row(
        behaviour="An INIT that always fails never crashes its pod",
        tests={
            P: f"{EDGES}::test_an_init_that_always_fails_does_not_crash_its_pod",
            **everywhere(f"{EVERY}::test_starts_that_fail_or_take_long", *OTHERS),
        },
    ),
    Row(
        behaviour="An INIT longer than 10 s is done again in the invocation",
        tests={
            P: f"{EDGES}::test_an_init_longer_than_ten_seconds_is_done_again_in_the_invocation",
            **everywhere(f"{EVERY}::test_starts_that_fail_or_take_long", *OTHERS),
        },
    ),
    Row(
        behaviour="ImageConfig replaces ENTRYPOINT, CMD, WORKDIR; digests are pinned",
        tests={I: f"{IMAGES}::test_an_image_of_kubectl_and_what_is_published"},
        absent=(P, N, M, J, C),
        because=OF_IMAGES,
    ),
    Row(
        behaviour="A private registry; an image that carries init, and one that does not",
        tests={I: f"{IMAGES}::test_the_layout_of_awss_base_images"},
        absent=(P, N, M, J, C),
        because=OF_IMAGES,
    ),
    Row(
        behaviour="A plain web server behind an adapter extension",
        tests={I: f"{IMAGES}::test_extensions_inside_an_image"},
        absent=(P, N, M, J, C),
        because=OF_IMAGES,
    ),
)


PLATFORM: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("External and internal extensions, late, crashing, ending", (
        f"{INIT}/test_extensions.py::test_an_extension_sees_every_invocation",
        f"{INIT}/test_extensions.py::test_an_internal_extension",
        f"{INIT}/test_extensions.py::test_an_extension_that_is_late_is_a_timeout",
        f"{INIT}/test_extensions.py::test_an_extension_that_ends_in_an_invocation",
    )),
    ("`/init/error`, `/exit/error`, files that are no program", (
        f"{INIT}/test_extensions.py::test_an_extension_that_does_not_start",
        f"{INIT}/test_extensions.py::test_a_file_that_is_no_program",
    )),
    ("SIGTERM with extensions, none without", (
        f"{INIT}/test_extensions.py::test_the_end_of_an_environment",
        f"{INIT}/test_extensions.py::test_without_extensions_there_is_no_sigterm",
    )),
    ("Telemetry API and the older Logs API", (
        f"{INIT}/test_telemetry.py::test_the_life_of_an_environment_as_telemetry",
        f"{INIT}/test_telemetry.py::test_subscriptions_that_are_refused",
        f"{INIT}/test_telemetry.py::test_the_older_logs_api",
        f"{INIT}/test_records.py::test_subscribers_get_each_record_whole",
    )),
    ("InvokeWithResponseStream: first bytes early, errors early and late, the log", (
        f"{STREAMS}::test_a_stream_as_the_sdks_read_it",
        f"{STREAMS}::test_a_function_that_does_not_stream",
    )),
    ("RESPONSE_STREAM of a function URL", (f"{URLS}::test_yaml_alone_makes_a_public_url",)),
    ("200 MB in constant memory, back-pressure to the function, clients that go away", (
        f"{STREAMS}::test_memory_is_constant_and_a_slow_reader_slows_nobody_else",
        f"{INIT}/test_streaming.py::test_two_hundred_megabytes_and_no_more",
        f"{INIT}/test_streaming.py::test_without_credit_the_runtime_waits_and_init_holds_next_to_nothing",
        f"{INIT}/test_streaming.py::test_a_client_that_goes_away_lets_the_run_go_on",
    )),
    ("START, END, REPORT, INIT_START, INIT_REPORT; tails", (
        f"{INVOKE}::test_the_log_tail_is_lambdas_text",
        f"{INIT}/test_python_functions.py::test_the_log_of_a_first_and_a_second_invocation",
        f"{INIT}/test_python_functions.py::test_an_init_phase_of_more_than_ten_seconds",
        f"{INIT}/test_python_functions.py::test_what_was_started_ahead_has_no_init_in_its_report",
    )),
    ("LoggingConfig: JSON, levels of the system and of the application", (
        f"{LOGS}::test_json_and_text",
        f"{INIT}/test_telemetry.py::test_levels_of_json_logs",
        f"{INIT}/test_telemetry.py::test_system_events_at_debug",
    )),
    ("At most 1,024 processes; daemons end with their environment", (
        f"{EDGES}::test_processes_are_limited",
        f"{EDGES}::test_nothing_runs_between_invocations",
    )),
    ("An INIT that always fails is tried ever more slowly", (
        f"{INIT}/test_python_functions.py::test_a_start_that_always_fails_is_tried_ever_more_slowly",
    )),
    ("Answers that are no JSON", (f"{EDGES}::test_answers_that_are_no_json",)),
    ("A start inside an invocation, `Runtime.OutOfMemory`: lines and their order", (
        f"{INIT}/test_python_functions.py::test_an_exit_while_loading",
        f"{INIT}/test_python_functions.py::test_a_function_above_its_memory_is_ended",
    )),
    ("Every example runs as its README says: Python, shell, Go, Rust", (
        "tests/e2e/test_readme.py::test_an_example_as_its_readme_says",
    )),
    ("Trace headers", (f"{LOGS}::test_a_trace_goes_along_and_the_time_is_told",)),
    ("memorySize and the share of CPU", (
        f"{EDGES}::test_a_pod_has_the_functions_memory_and_share_of_cpu",
    )),
    ("A function cannot read init's memory or token, nor speak as the instance", (
        f"{INIT}/test_safety.py::test_only_tmp_is_writable_and_init_is_out_of_reach",
        f"{INIT}/test_safety.py::test_the_token_is_nowhere_in_inits_memory",
        f"{INIT}/test_pid_one.py::test_as_the_user_of_the_images_it_is_out_of_reach",
    )),
    ("init: vet, staticcheck, race detector, fuzzing, memory after 100,000 invocations", (
        f"{INIT}/test_go.py::test_vet",
        f"{INIT}/test_go.py::test_staticcheck",
        f"{INIT}/test_go.py::test_packages",
        f"{INIT}/test_go.py::test_fuzz",
        f"{INIT}/test_go.py::test_memory_after_100_000_invocations",
    )),
)  # fmt: skip
"""What does not depend on the language, and the tests that show it."""


INTRODUCTION = (
    "Every cell is a test that runs against the real cluster, or against the real init "
    "(`tests/integration`); long ones only in `make test-full`. n/a: it means nothing there, for "
    "the reason given below. Made from `tests/support/matrix.py` by `make golden`; a test keeps it "
    "true."
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
    lines += ["", "## Whatever the language", "", "| behaviour | shown by |", "|---|---|"]
    for behaviour, tests in PLATFORM:
        lines.append(f"| {behaviour} | {', '.join(_link(test, _name(test)) for test in tests)} |")
    lines += ["", "## Why some cells are n/a", ""]
    lines += [
        f"- {row.behaviour}: {row.because}" for row in ROWS if row.because not in ("", OF_IMAGES)
    ]
    return "\n".join(lines) + "\n"


def _line(row: Row) -> str:
    cells = []
    for language in LANGUAGES:
        test = row.tests.get(language)
        cells.append(NOT_MEANT if test is None else _link(test, "yes"))
    return f"| {row.behaviour} | {' | '.join(cells)} |"


def _name(test: str) -> str:
    return test.partition("::test_")[2].replace("_", " ")


def _link(test: str, text: str) -> str:
    file, _, function = test.partition("::")
    return f'[{text}](../{file} "{function}")'
