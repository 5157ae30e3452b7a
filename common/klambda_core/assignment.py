"""The assignment: what an instance is told to be (docs/runtime-contract.md section 2). Pure.

One builder for `$LATEST` and for published versions. The operator renders it into an annotation of
the revision's Deployment; every gateway sends that text, so that all say the same.
"""

import json
from collections.abc import Sequence

from pydantic import Field

from klambda_core.arn import default_role, function_arn
from klambda_core.code import CodeRef
from klambda_core.crd.base import Model
from klambda_core.crd.code import Image
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.status import ResolvedLayer
from klambda_core.names import LATEST

_DEFAULT_LEVEL = "INFO"


class Content(Model):
    """A zip in the store."""

    sha256: str
    size: int


class ImageStart(Model):
    """How an image starts: its own words, or those of ImageConfig in their place."""

    command: list[str]
    working_directory: str | None = None


class Assignment(Model):
    """Everything that an instance must know, no credentials among it."""

    digest: str
    function_name: str
    function_arn: str
    version: str
    account_id: str
    region: str
    runtime: str
    handler: str
    memory_size: int
    timeout: int
    ephemeral_storage: int
    environment: dict[str, str] = Field(default_factory=dict)
    code: Content | None = None
    image: ImageStart | None = None
    layers: list[Content] = Field(default_factory=list)
    log_group: str
    log_format: str
    application_log_level: str | None = None
    system_log_level: str | None = None
    tracing_mode: str
    role: str

    def to_text(self) -> str:
        """The annotation's text: the same for the same assignment."""
        return json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str) -> "Assignment":
        """The assignment of an annotation. Raises pydantic.ValidationError."""
        return cls.model_validate_json(text)


def build(
    configuration: Configuration,
    *,
    revision: str,
    function_name: str,
    version: str,
    account: str,
    region: str,
    runtime: str,
    code: CodeRef | Image,
    layers: Sequence[ResolvedLayer] = (),
) -> Assignment:
    """The assignment of a revision; `version` is `$LATEST` or the number, `runtime` what runs."""
    variables = configuration.environment.variables if configuration.environment else None
    logging = configuration.logging_config
    level = _DEFAULT_LEVEL if logging.log_format == "JSON" else None
    qualifier = None if version == LATEST else version
    return Assignment(
        digest=revision,
        function_name=function_name,
        function_arn=function_arn(region, account, function_name, qualifier),
        version=version,
        account_id=account,
        region=region,
        runtime=runtime,
        handler=configuration.handler or "",
        memory_size=configuration.memory_size,
        timeout=configuration.timeout,
        ephemeral_storage=configuration.ephemeral_storage.size,
        environment=dict(variables or {}),
        code=Content(sha256=code.sha256, size=code.size) if isinstance(code, CodeRef) else None,
        image=image_start(configuration, code) if isinstance(code, Image) else None,
        layers=[Content(sha256=layer.sha256, size=layer.size) for layer in layers],
        log_group=logging.log_group or f"/aws/lambda/{function_name}",
        log_format=logging.log_format,
        application_log_level=logging.application_log_level or level,
        system_log_level=logging.system_log_level or level,
        tracing_mode=configuration.tracing_config.mode,
        role=configuration.role or default_role(account),
    )


def image_start(configuration: Configuration, image: Image) -> ImageStart:
    """ENTRYPOINT, CMD and WORKDIR, each replaced by what ImageConfig says (aws-contract h)."""
    own = configuration.image_config
    entry_point = (own.entry_point if own else None) or image.entry_point or []
    command = (own.command if own else None) or image.command or []
    return ImageStart(
        command=[*entry_point, *command],
        working_directory=(own.working_directory if own else None) or image.working_directory,
    )
