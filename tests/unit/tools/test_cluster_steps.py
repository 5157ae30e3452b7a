"""What the user sees: steps with their time, failures with a remedy; choosing, checking, values."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml

from tools.cluster import check, cluster, demo, environment, programs, release, toolchain, up
from tools.cluster.images import catalogue
from tools.cluster.layout import REPOSITORY, Layout
from tools.cluster.shell import CommandFailed, Shell
from tools.cluster.steps import StepFailed, Steps, last_line


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout.of({"HOME": str(tmp_path)}, repository=tmp_path / "check out")


def steps_on(out: io.StringIO, tmp_path: Path) -> Steps:
    ticks = iter(range(0, 1000, 2))
    return Steps(out=out, logs=tmp_path, environment=dict, clock=lambda: float(next(ticks)))


def test_a_step_says_when_it_begins_what_came_of_it_and_how_long_it_took(tmp_path: Path) -> None:
    out = io.StringIO()
    with steps_on(out, tmp_path).step("paint", log="paint", remedy="-") as step:
        step.note = "green"
    first, last = out.getvalue().splitlines()
    assert first.endswith("paint ...")
    assert "paint: green (" in last


def test_a_failure_shows_the_error_the_log_and_the_remedy(tmp_path: Path) -> None:
    out = io.StringIO()
    steps = steps_on(out, tmp_path)
    with (
        pytest.raises(StepFailed),
        steps.step("paint", log="paint", remedy="buy some paint") as step,
    ):
        step.shell.run("sh", "-c", "echo it is dry >&2; exit 3")
    text = out.getvalue()
    for part in ("FAILED: paint", "it is dry", "exit status 3", "paint.log", "buy some paint"):
        assert part in text


def test_a_streamed_commands_own_output_is_the_error_not_the_whole_log(tmp_path: Path) -> None:
    shell = Shell(environment={}, log=tmp_path / "log")
    shell.stream("echo", "earlier")
    with pytest.raises(CommandFailed) as caught:
        shell.stream("sh", "-c", "echo now; exit 1")
    assert "now" in caught.value.output
    assert "earlier" not in caught.value.output


def test_a_missing_program_is_a_failed_command(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed) as caught:
        Shell(environment={}).run("no-such-program-here")
    assert caught.value.code == 127


def test_the_last_line_of_a_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert last_line(log) == "working"
    log.write_text("one\ntwo  \n\n")
    assert last_line(log) == "two"
    assert last_line(log, limit=1) == "t"


@pytest.mark.parametrize(
    ("wanted", "docker", "kind"),
    [("", True, "kind"), ("", False, "native"), ("auto", False, "native"),
     ("native", True, "native"), ("existing", False, "existing")],
)  # fmt: skip
def test_choosing_a_cluster(wanted: str, docker: bool, kind: str) -> None:
    assert cluster.choose(wanted, docker=docker) == kind


def test_an_unknown_cluster_is_refused() -> None:
    with pytest.raises(ValueError, match="native, kind, existing"):
        cluster.choose("minikube", docker=False)


@pytest.mark.parametrize(
    ("variables", "egress"), [({}, False), ({"EGRESS": "0"}, False), ({"EGRESS": "1"}, True)]
)
def test_options(variables: Mapping[str, str], egress: bool) -> None:
    assert up.Options.of(variables).egress is egress
    assert up.Options.of({"REGISTRY": "r.example/k/"}).registry == "r.example/k"
    assert up.Options.of({"VALUES": "/v.yaml"}).values == Path("/v.yaml")
    assert up.Options.of({"VALUES": ""}).values is None


def test_runtimes_asked_for_once_stay_until_down(layout: Layout) -> None:
    default = catalogue.DEFAULT_RUNTIMES
    assert catalogue.chosen(layout, "") == default
    assert catalogue.chosen(layout, "nodejs22.x, provided.al2023") == default
    assert catalogue.chosen(layout, "all") == catalogue.RUNTIMES
    assert catalogue.chosen(layout, "") == catalogue.RUNTIMES
    with pytest.raises(ValueError, match=r"no runtime java6; all or python3\.13"):
        catalogue.chosen(layout, "java6")


def test_the_charts_values_name_every_image() -> None:
    references = {
        "control-plane": "c:1", "init": "i:1",
        "runtime-python3.13": "p:2", "runtime-nodejs22.x": "n:3",
    }  # fmt: skip
    defaults = {
        "runtimes": {"python3.13": {"image": "x"}, "odd1": {"image": "o"}},
        "runtimeSubstitutions": {"python3.12": "python3.13", "odd0": "odd1"},
    }
    values = release.values(defaults, references, {"gateway": {"service": {"nodePort": 1}}})
    assert yaml.safe_load(release.render(values)) == {
        "images": {"controlPlane": "c:1", "init": "i:1"},
        "runtimes": {
            "python3.13": {"image": "p:2"},
            "nodejs22.x": {"image": "n:3"},
            "odd1": None,
        },
        "runtimeSubstitutions": {"odd0": None},
        "gateway": {"service": {"nodePort": 1}},
    }


def test_the_release_is_another_when_chart_values_or_cluster_are(tmp_path: Path) -> None:
    (tmp_path / "Chart.yaml").write_text("a")
    first = release.fingerprint(tmp_path, "v", "uid")
    assert first == release.fingerprint(tmp_path, "v", "uid")
    assert first != release.fingerprint(tmp_path, "w", "uid")
    assert first != release.fingerprint(tmp_path, "v", "other")
    (tmp_path / "Chart.yaml").write_text("b")
    assert first != release.fingerprint(tmp_path, "v", "uid")


def sourced(text: str, tmp_path: Path, **before: str) -> dict[str, str]:
    """Return the environment of a POSIX shell that has sourced the text twice."""
    file = tmp_path / "env"
    file.write_text(text)
    script = f". '{file}'; . '{file}'; env -0"
    done = subprocess.run(
        ["sh", "-euc", script], env={"PATH": "/usr/bin:/bin", **before}, capture_output=True,
        check=True,
    )  # fmt: skip
    pairs = (item.partition("=") for item in done.stdout.decode().split("\0") if item)
    return {name: value for name, _, value in pairs}


def test_the_environment_file_is_all_that_an_sdk_needs(layout: Layout, tmp_path: Path) -> None:
    key = environment.Credentials(access_key_id="AK", secret_access_key="s'e$c ret")
    text = environment.render(layout, key)
    found = sourced(text, tmp_path, AWS_PROFILE="work", AWS_SESSION_TOKEN="t", NO_PROXY="x.test")
    assert found["AWS_SECRET_ACCESS_KEY"] == "s'e$c ret"
    assert found["AWS_ACCESS_KEY_ID"] == "AK"
    assert found["KUBECONFIG"] == str(layout.kubeconfig)
    assert found["AWS_REGION"] == found["AWS_DEFAULT_REGION"] == "us-east-1"
    for service in ("LAMBDA", "STS", "CLOUDWATCH_LOGS"):
        assert found[f"AWS_ENDPOINT_URL_{service}"] == "http://127.0.0.1:8080"
    assert "AWS_PROFILE" not in found
    assert "AWS_SESSION_TOKEN" not in found
    assert found["NO_PROXY"].endswith("x.test")
    assert found["NO_PROXY"].startswith("127.0.0.1,localhost,10.89.0.0/16")
    assert found["PATH"].split(":").count(str(layout.bin)) == 1


def test_credentials_come_from_the_secret() -> None:
    data = {"accessKeyId": "QUs=", "secretAccessKey": "U0s=", "namespace": "ZGVmYXVsdA=="}
    key = environment.parse_secret(json.dumps({"data": data}))
    assert (key.access_key_id, key.secret_access_key) == ("AK", "SK")


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26)), ("go version go1.27rc1 x/y", (1, 27)),
     ("nothing", None)],
)  # fmt: skip
def test_reading_gos_version(text: str, version: tuple[int, int] | None) -> None:
    assert toolchain.parse_version(text) == version


def test_a_program_is_another_when_its_sources_or_flags_are(tmp_path: Path) -> None:
    (tmp_path / "main.go").write_text("package main")
    (tmp_path / "main_test.go").write_text("package main")
    program = programs.Program(name="p", module=tmp_path)
    first = program.key()
    (tmp_path / "main_test.go").write_text("package main // more")
    assert program.key() == first
    assert programs.Program(name="p", module=tmp_path, ldflags="-X a=b").key() != first
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "x.go").write_text("package inner")
    assert program.key() != first


def test_kubernetes_is_the_version_of_its_module() -> None:
    module = (programs.MODULES / "kubernetes" / "go.mod").read_text()
    assert f"k8s.io/kubernetes v{programs.KUBERNETES_VERSION}\n" in module


def test_the_demo_is_the_same_package_every_time_and_reads_phases() -> None:
    source = REPOSITORY / "examples" / "area" / "python" / "lambda_function.py"
    assert demo.archive(source) == demo.archive(source)
    answer = demo.Answer(
        payload='"{\\"area\\": 42}"',
        milliseconds=1,
        log="REPORT x\tPhases: dial 3.1 ms, run 4 ms\t",
    )
    assert answer.area() == {"area": 42}
    assert answer.phases() == "dial 3.1 ms, run 4 ms"


@pytest.mark.parametrize(
    ("folder", "name"), [("python", "lambda_function.py"), ("nodejs", "index.mjs")]
)
def test_the_manifests_carry_the_example_as_it_is(folder: str, name: str) -> None:
    example = REPOSITORY / "examples" / "area" / folder
    manifest = yaml.safe_load((example / "function.yaml").read_text())
    assert manifest["spec"]["code"]["files"] == {name: (example / name).read_text()}


def test_a_failed_check_hides_none_but_those_that_need_it() -> None:
    done: list[str] = []
    said: list[str] = []

    def do(verb: str) -> bool:
        done.append(verb)
        return verb not in {"lint", "up"}

    assert check.run(check.CHECKS, do, said.append) is False
    assert done == ["binaries", "lint", "type", "unit", "integration", "up"]
    assert said[-1] == "FAILED: lint, up, e2e"


def test_when_all_pass_the_last_check_has_the_last_word() -> None:
    said: list[str] = []
    assert check.run(check.CHECKS, lambda _: True, said.append) is True
    assert said[-1] == "[7/7] make e2e"


def test_several_checkouts_can_share_one_clusters_state(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    layouts = [
        Layout.of({"KLAMBDA_STATE": str(shared)}, repository=tmp_path / name) for name in "ab"
    ]
    assert {layout.environment for layout in layouts} == {shared / "env"}
