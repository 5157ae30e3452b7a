"""The chart: golden renders, the values' schema, what must hold in every rendering."""

from __future__ import annotations

import functools
import json
import os
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from klambda_gateway.events.metrics import EventMetrics
from klambda_obs.metrics import Metrics
from klambda_store.settings import bucket_of
from tests.support.chart import (
    CHART,
    SCENARIOS,
    objects,
    only,
    run_helm,
    template,
    values_of,
)

REPOSITORY = CHART.parents[1]
GOLDEN = REPOSITORY / "tests" / "golden" / "chart"
PARTS = {"gateway": "Deployment", "operator": "Deployment", "store": "StatefulSet"}
SOURCES = {
    "gateway": REPOSITORY / "gateway" / "klambda_gateway" / "settings.py",
    "operator": REPOSITORY / "operator" / "klambda_operator" / "settings.py",
    "store": REPOSITORY / "store" / "klambda_store" / "settings.py",
}
URLS = REPOSITORY / "common" / "klambda_core" / "urls.py"


@functools.cache
def rendered(scenario: str) -> str:
    return template("--values", str(values_of(scenario)))


def workload(scenario: str, part: str) -> dict[str, Any]:
    return only(objects(rendered(scenario)), PARTS[part], f"klambda-{part}")


def pods(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The pod specs of everything that makes pods."""
    return [
        each["spec"]["template"]["spec"] if "template" in each["spec"] else each["spec"]
        for each in found
        if each["kind"] in {*PARTS.values(), "Pod"}
    ]


def environment(scenario: str, part: str) -> dict[str, Any]:
    (container,) = workload(scenario, part)["spec"]["template"]["spec"]["containers"]
    return {each["name"]: each.get("value", each.get("valueFrom")) for each in container["env"]}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_golden_render(scenario: str) -> None:
    """Without the CRDs, which have goldens of their own."""
    path = GOLDEN / f"{scenario}.yaml"
    documents = re.split(r"^---\n", rendered(scenario), flags=re.MULTILINE)
    text = "---\n".join(each for each in documents if "kind: CustomResourceDefinition" not in each)
    if os.environ.get("KLAMBDA_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text(), "the chart renders otherwise: look, then `make golden`"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_lint(scenario: str) -> None:
    done = run_helm("lint", "--strict", str(CHART), "--values", str(values_of(scenario)))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_crds_are_those_of_the_repository() -> None:
    fresh = {path.name: path.read_text() for path in (REPOSITORY / "crds").glob("*.yaml")}
    copies = {path.name: path.read_text() for path in (CHART / "files" / "crds").glob("*.yaml")}
    assert copies == fresh, "cp crds/*.yaml helm/klambda/files/crds/"
    assert len(fresh) >= 3


def test_the_crds_pass_through_unharmed_and_are_kept() -> None:
    crds = [
        each for each in objects(rendered("default")) if each["kind"] == "CustomResourceDefinition"
    ]
    assert len(crds) == len(list((CHART / "files" / "crds").glob("*.yaml")))
    for crd in crds:
        plural = crd["spec"]["names"]["plural"]
        file = CHART / "files" / "crds" / f"klambda.io_{plural}.yaml"
        original = yaml.safe_load(file.read_text())
        assert crd["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
        assert crd == original
    assert "CustomResourceDefinition" not in rendered("ha")


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_pod_is_restricted(scenario: str) -> None:
    """The Pod Security Standard `restricted`, and a read-only root."""
    found = pods(objects(rendered(scenario)))
    assert len(found) == 4
    for pod in found:
        context = pod["securityContext"]
        assert context["runAsNonRoot"] is True
        assert context["runAsUser"] == 65532
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not pod.get("hostNetwork")
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]


@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("part", PARTS)
def test_every_variable_is_one_that_the_program_reads(scenario: str, part: str) -> None:
    source = SOURCES[part].read_text() + URLS.read_text()
    for name in environment(scenario, part):
        assert f'"{name}"' in source, f"{part} does not read {name}"


@pytest.mark.parametrize("part", ["gateway", "operator"])
def test_what_the_programs_share_is_the_same(part: str) -> None:
    shared = environment("ha", part)
    assert json.loads(shared["KLAMBDA_ACCOUNTS"]) == {
        "default": "111111111111",
        "team-a": "222222222222",
    }
    assert json.loads(shared["KLAMBDA_RUNTIMES"])["python3.13"]["bootstrap"] == "/opt/bootstrap"
    substitutions = json.loads(shared["KLAMBDA_RUNTIME_SUBSTITUTIONS"])
    assert substitutions["python3.12"] == "python3.13"
    assert substitutions["provided.al2"] == "provided.al2023"
    assert json.loads(environment("namespaced", part)["KLAMBDA_RUNTIME_SUBSTITUTIONS"]) == {}
    assert shared["KLAMBDA_REGION"] == "eu-central-1"
    assert environment("namespaced", part)["KLAMBDA_WATCH_NAMESPACES"] == "team-a,team-b"
    assert environment("default", part)["KLAMBDA_WATCH_NAMESPACES"] == ""


def test_addresses_follow_the_cluster_domain() -> None:
    url = environment("ha", "gateway")["KLAMBDA_STORE_URL"]
    assert url == "http://klambda-store.klambda.svc.example.internal.:8090"


def test_the_pods_grace_covers_what_the_gateway_takes() -> None:
    for scenario, grace in (("default", 930), ("ha", 120)):
        pod = workload(scenario, "gateway")["spec"]["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] == grace
        taken = int(environment(scenario, "gateway")["KLAMBDA_GRACE_SECONDS"])
        assert taken + 10 < grace


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_services_reach_their_pods(scenario: str) -> None:
    found = objects(rendered(scenario))
    templates = {part: workload(scenario, part)["spec"]["template"] for part in PARTS}
    services = {"gateway": ["klambda-gateway", "klambda-instances"], "store": ["klambda-store"]}
    for part, names in services.items():
        ports = {port["name"] for port in templates[part]["spec"]["containers"][0]["ports"]}
        for name in names:
            spec = only(found, "Service", name)["spec"]
            assert spec["selector"].items() <= templates[part]["metadata"]["labels"].items()
            assert {port["targetPort"] for port in spec["ports"]} <= ports
            others = [templates[other] for other in PARTS if other != part]
            for other in others:
                assert not spec["selector"].items() <= other["metadata"]["labels"].items()
    instances = only(found, "Service", "klambda-instances")["spec"]
    assert instances["clusterIP"] == "None"
    assert instances["publishNotReadyAddresses"] is True


def test_node_ports_and_volumes() -> None:
    (port,) = only(objects(rendered("local")), "Service", "klambda-gateway")["spec"]["ports"]
    assert port["nodePort"] == 30080
    (port,) = only(objects(rendered("default")), "Service", "klambda-gateway")["spec"]["ports"]
    assert "nodePort" not in port
    volumes = {
        scenario: {
            volume["name"]: volume
            for volume in workload(scenario, "store")["spec"]["template"]["spec"]["volumes"]
        }
        for scenario in SCENARIOS
    }
    assert volumes["local"]["data"]["hostPath"]["path"] == "/var/lib/klambda/store"
    assert "emptyDir" in volumes["namespaced"]["data"]
    assert "data" not in volumes["default"]
    (claim,) = workload("ha", "store")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["storageClassName"] == "fast"
    (claim,) = workload("default", "store")["spec"]["volumeClaimTemplates"]
    assert "storageClassName" not in claim["spec"]


def test_one_namespace_scope_has_no_cluster_wide_right() -> None:
    found = objects(rendered("namespaced"))
    assert not [each for each in found if each["kind"].startswith("ClusterRole")]
    roles = {
        (each["metadata"]["namespace"], each["metadata"]["name"])
        for each in found
        if each["kind"] == "Role"
    }
    assert {namespace for namespace, _ in roles} == {"klambda", "team-a", "team-b"}


@pytest.mark.parametrize("part", ["gateway", "operator", "store"])
def test_parts_go_before_functions(part: str) -> None:
    """A node full of instances that nobody stops, because the gateway found no room, stays so."""
    (made,) = [each for each in objects(rendered("default")) if each["kind"] == "PriorityClass"]
    assert made["value"] > 0, "functions have the default"
    pod = workload("default", part)["spec"]["template"]["spec"]
    assert pod["priorityClassName"] == made["metadata"]["name"]


def test_nobody_has_more_than_is_written_down() -> None:
    """No wildcard, no right on secrets outside Klambda's namespace, no pods for the operator."""
    for scenario in SCENARIOS:
        for role in objects(rendered(scenario)):
            if role["kind"] not in {"Role", "ClusterRole"}:
                continue
            own = role["metadata"].get("namespace") == "klambda"
            for rule in role["rules"]:
                words = {*rule["apiGroups"], *rule["resources"], *rule["verbs"]}
                assert "*" not in words
                assert not words & {"escalate", "bind", "impersonate"}
                assert own or "secrets" not in rule["resources"]
                if "operator" in role["metadata"]["name"]:
                    assert not {"pods", "deployments/scale"} & set(rule["resources"])


def test_instances_cannot_be_called() -> None:
    policy = only(objects(rendered("default")), "NetworkPolicy", "klambda-instances")
    assert policy["metadata"]["namespace"] == "default"
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    assert "ingress" not in policy["spec"]
    assert policy["spec"]["podSelector"]["matchLabels"] == {
        "app.kubernetes.io/managed-by": "klambda"
    }
    namespaces = {
        each["metadata"]["namespace"]
        for each in objects(rendered("namespaced"))
        if each["kind"] == "NetworkPolicy"
    }
    assert namespaces == {"team-a", "team-b"}
    without = objects(template("--set", "networkPolicy.enabled=false"))
    assert not [each for each in without if each["kind"] == "NetworkPolicy"]


def test_function_urls_of_a_real_domain_arrive_as_they_were_sent() -> None:
    host = "*.lambda-url.eu-central-1.functions.example.com"
    found = objects(rendered("ha"))
    ingress = only(found, "Ingress", "klambda-function-urls")["spec"]
    assert ingress["tls"] == [{"hosts": [host], "secretName": "function-urls-tls"}]
    (rule,) = ingress["rules"]
    assert rule["host"] == host
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    service = only(found, "Service", path["backend"]["service"]["name"])
    assert path["backend"]["service"]["port"]["name"] == service["spec"]["ports"][0]["name"]
    route = only(found, "HTTPRoute", "klambda-function-urls")["spec"]
    assert route["hostnames"] == [host]
    assert route["parentRefs"] == [
        {"name": "shared", "namespace": "ingress", "sectionName": "https"}
    ]
    (rule,) = route["rules"]
    assert "filters" not in rule
    assert rule["backendRefs"] == [{"name": "klambda-gateway", "port": 80}]
    assert not [each for each in found if each["kind"] == "Gateway"]
    for part in ("gateway", "operator"):
        assert environment("ha", part)["KLAMBDA_URL_DOMAIN"] == "functions.example.com"
        assert environment("ha", part)["KLAMBDA_URL_PORT"] == ""


def test_a_gateway_is_made_where_none_is_named() -> None:
    found = objects(rendered("namespaced"))
    (listener,) = only(found, "Gateway", "klambda-function-urls")["spec"]["listeners"]
    assert listener == {
        "name": "https",
        "protocol": "HTTPS",
        "port": 8443,
        "hostname": "*.lambda-url.us-east-1.example.com",
        "tls": {
            "mode": "Terminate",
            "certificateRefs": [{"kind": "Secret", "name": "function-urls-tls"}],
        },
    }
    route = only(found, "HTTPRoute", "klambda-function-urls")["spec"]
    assert route["parentRefs"] == [{"name": "klambda-function-urls"}]
    plain = objects(rendered("default"))
    assert not {each["kind"] for each in plain} & {"Ingress", "Gateway", "HTTPRoute"}
    assert environment("default", "gateway")["KLAMBDA_URL_PORT"] == "8080"


def test_budgets_only_for_what_is_several() -> None:
    def budgets(scenario: str) -> set[str]:
        return {
            each["metadata"]["name"]
            for each in objects(rendered(scenario))
            if each["kind"] == "PodDisruptionBudget"
        }

    assert budgets("ha") == {"klambda-gateway", "klambda-operator"}
    assert budgets("default") == set()


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"gateway": {"replica": 2}}, "replica"),
    ({"gatway": {"replicas": 2}}, "gatway"),
    ({"gateway": {"replicas": "many"}}, "integer"),
    ({"gateway": {"publicUrl": "https://x.example.com/"}}, "x.example.com"),
    ({"gateway": {"corsOrigins": ["https://x.example.com/page"]}}, "page"),
    ({"gateway": {"service": {"nodePort": 0}}}, "minimum"),
    ({"functionUrls": {"domain": "localhost:8080"}}, "localhost:8080"),
    ({"functionUrls": {"scheme": "ftp"}}, "ftp"),
    ({"functionUrls": {"trustedProxies": ["proxy"]}}, "proxy"),
    ({"functionUrls": {"httpRoute": {"parentRefs": [{}]}}}, "name"),
    ({"region": "nowhere"}, "nowhere"),
    ({"accounts": {"default": "123"}}, "123"),
    ({"accounts": {"default": 123456789012}}, "string"),
    ({"store": {"persistence": {"hostPath": "relative"}}}, "relative"),
    ({"store": {"persistence": {"size": "big"}}}, "big"),
    ({"store": {"s3": {"endpoint": "minio:9000"}}}, "minio:9000"),
    ({"store": {"s3": {"endpoint": "http://minio:9000/"}}}, "minio:9000/"),
    ({"store": {"s3": {"prefix": "/a"}}}, "/a"),
    ({"store": {"s3": {"bucket": "a/b"}}}, "a/b"),
    ({"runtimes": {"python3.13": {"image": ""}}}, "''"),
    ({"runtimes": {"Python": {"image": "x"}}}, "Python"),
    ({"scope": {"namespaces": ["Team_A"]}}, "Team_A"),
    ({"logLevel": "LOUD"}, "LOUD"),
    ({"imagePullPolicy": "Sometimes"}, "Sometimes"),
]


def merged(base: dict[str, Any], change: dict[str, Any]) -> dict[str, Any]:
    """Helm's way of putting a user's values over the defaults."""
    result = dict(base)
    for name, value in change.items():
        known = result.get(name)
        both = isinstance(known, dict) and isinstance(value, dict)
        result[name] = merged(known, value) if both and known is not None else value
    return result


@pytest.mark.parametrize(("change", "complaint"), WRONG)
def test_a_wrong_value_is_refused_by_name(change: dict[str, Any], complaint: str) -> None:
    validator = jsonschema.Draft7Validator(json.loads((CHART / "values.schema.json").read_text()))
    defaults = yaml.safe_load((CHART / "values.yaml").read_text())
    assert list(validator.iter_errors(defaults)) == []
    errors = [error.message for error in validator.iter_errors(merged(defaults, change))]
    assert any(complaint in error for error in errors), errors


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ("gateway.replica=2", "additional properties 'replica' not allowed"),
        ("caBundle.configMap=a,caBundle.secret=b", "give configMap or secret, not both"),
        ("caBundle.key=../x", "/caBundle/key"),
        ("store.s3.endpoint=http://m", "store.s3.bucket: name the bucket"),
        ("store.s3.endpoint=http://m,store.s3.bucket=abc", "store.s3.credentialsSecret: name"),
        ("functionUrls.httpRoute.enabled=true", "give parentRefs, or gatewayClassName"),
        ("runtimeSubstitutions.python3\\.12=python9", "python9 is not in runtimes"),
    ],
)
def test_helm_itself_refuses(setting: str, complaint: str) -> None:
    done = run_helm("template", "klambda", str(CHART), "--set", setting)
    assert done.returncode != 0
    assert complaint in done.stderr


def test_every_value_is_described_and_has_a_default() -> None:
    """The schema and values.yaml name the same things."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    def compare(described: dict[str, Any], given: Any, path: str) -> None:
        properties = described.get("properties")
        if properties is None or not isinstance(given, dict):
            return
        assert described["additionalProperties"] is False, path
        assert set(given) == set(properties) - {"global"}, path
        for name, value in given.items():
            compare(properties[name], value, f"{path}.{name}")

    compare(schema, values, "")


def test_the_notes_say_how_to_call() -> None:
    done = run_helm(
        "install", "klambda", str(CHART), "--namespace", "klambda", "--dry-run=client",
        "--values", str(values_of("namespaced")),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    notes = done.stdout.partition("NOTES:")[2]
    assert "AWS_ENDPOINT_URL_LAMBDA" in notes
    assert "klambda-credentials" in notes
    assert "WARNING: store.persistence is off. Uploaded code is lost" in notes


def test_the_store_is_told_of_its_bucket() -> None:
    assert not [name for name in environment("default", "store") if "S3" in name]
    said = {k: v for k, v in environment("ha", "store").items() if "BLOBS_S3" in k}
    assert said.pop("KLAMBDA_BLOBS_S3_ACCESS_KEY_ID") == {
        "secretKeyRef": {"name": "klambda-blobs", "key": "accessKeyId"}
    }
    assert said.pop("KLAMBDA_BLOBS_S3_SECRET_ACCESS_KEY") == {
        "secretKeyRef": {"name": "klambda-blobs", "key": "secretAccessKey"}
    }
    place = bucket_of({**said, "KLAMBDA_BLOBS_S3_ACCESS_KEY_ID": "AKIA"})
    assert place is not None
    assert (place.bucket, place.region, place.path_style) == (
        "klambda-blobs",
        "eu-central-1",
        False,
    )
    assert said["KLAMBDA_BLOBS_S3_PREFIX"] == "production"


@pytest.mark.parametrize("part", ["gateway", "store"])
def test_a_bundle_of_authorities_is_where_the_programs_look(part: str) -> None:
    bundle = "/etc/klambda/ca/bundle.pem"
    assert environment("ha", part)["KLAMBDA_CA_BUNDLE"] == bundle
    pod = workload("ha", part)["spec"]["template"]["spec"]
    mount = {"name": "ca", "mountPath": "/etc/klambda/ca", "readOnly": True}
    assert mount in pod["containers"][0]["volumeMounts"]
    items = [{"key": "bundle.pem", "path": "bundle.pem"}]
    volume = {"name": "ca", "configMap": {"name": "company-authorities", "items": items}}
    assert volume in pod["volumes"]
    assert "KLAMBDA_CA_BUNDLE" not in environment("default", part)
    found = objects(template("--set", "caBundle.secret=authorities"))
    volumes = only(found, PARTS[part], f"klambda-{part}")["spec"]["template"]["spec"]["volumes"]
    items = [{"key": "ca.crt", "path": "ca.crt"}]
    assert {"name": "ca", "secret": {"secretName": "authorities", "items": items}} in volumes


def test_the_smoke_test_signs_as_the_sdk_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """`helm test` has a signature of its own; botocore is the authority."""
    import datetime
    import runpy

    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    for name, value in {
        "ENDPOINT": "http://gateway:8080", "REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    script = runpy.run_path(str(Path(CHART / "files" / "smoke.py")))
    path, body = "/2015-03-31/functions/fn:live/invocations", b'{"a": 1}'
    ours = script["signature"]("POST", path, "gateway:8080", body)
    request = AWSRequest("POST", f"http://gateway:8080{path}", data=body)
    request.context["timestamp"] = ours["X-Amz-Date"]
    request.headers["X-Amz-Date"] = ours["X-Amz-Date"]
    request.headers["Host"] = "gateway:8080"
    signer = SigV4Auth(Credentials("AKIDEXAMPLE", "secret"), "lambda", "eu-west-1")
    text = signer.string_to_sign(request, signer.canonical_request(request))
    stamp = datetime.datetime.strptime(ours["X-Amz-Date"], "%Y%m%dT%H%M%SZ")  # noqa: DTZ007
    assert stamp.year >= 2026
    assert ours["Authorization"].endswith(signer.signature(text, request))


def test_alerts_are_off_unless_asked_for_and_speak_of_metrics_that_exist() -> None:
    assert "PrometheusRule" not in rendered("default")
    rule = only(objects(rendered("ha")), "PrometheusRule", "klambda")
    assert rule["metadata"]["labels"]["release"] == "prometheus"
    sources = "".join(
        path.read_text()
        for part in ("gateway", "store")
        for path in (REPOSITORY / part).rglob("*.py")
    )
    (group,) = rule["spec"]["groups"]
    assert len(group["rules"]) == 6
    for alert in group["rules"]:
        (metric,) = re.findall(r"klambda_(?:gateway|store)_(\w+)", alert["expr"])
        assert f'"{metric.removesuffix("_total")}"' in sources, metric


def test_what_alerts_count_the_increase_of_is_there_before_the_first() -> None:
    """Prometheus sees no increase in a series that begins with 1."""
    metrics = Metrics("gateway")
    EventMetrics(metrics)
    exported = metrics.render().decode()
    (group,) = only(objects(rendered("ha")), "PrometheusRule", "klambda")["spec"]["groups"]
    counted = re.findall(r"increase\((\w+)\[", " ".join(each["expr"] for each in group["rules"]))
    assert len(counted) == 3
    for name in counted:
        assert re.search(rf"^{name}(\{{.*\}})? 0\.0$", exported, re.MULTILINE), name
