"""Our kinds as pydantic models: the single source of the CRDs (see `base`)."""

from klambda_core.crd.alias import Alias, AliasSpec, AliasStatus
from klambda_core.crd.code import Blob, Code, Content, Image, Sources
from klambda_core.crd.configuration import Configuration
from klambda_core.crd.event_source import EventSourceMapping
from klambda_core.crd.function import Function, FunctionSpec, FunctionStatus, Published
from klambda_core.crd.layer import (
    LayerPermission,
    LayerVersion,
    LayerVersionSpec,
    LayerVersionStatus,
)
from klambda_core.crd.signing import CodeSigningConfig
from klambda_core.crd.status import (
    Active,
    Condition,
    Failed,
    ResolvedCode,
    ResolvedImage,
    ResolvedLayer,
    WeightedVersion,
)
from klambda_core.crd.version import Snapshot, Version, VersionSpec, VersionStatus

MODELS = (Function, Version, Alias, LayerVersion, EventSourceMapping, CodeSigningConfig)

__all__ = [
    "MODELS",
    "Active",
    "Alias",
    "AliasSpec",
    "AliasStatus",
    "Blob",
    "Code",
    "CodeSigningConfig",
    "Condition",
    "Configuration",
    "Content",
    "EventSourceMapping",
    "Failed",
    "Function",
    "FunctionSpec",
    "FunctionStatus",
    "Image",
    "LayerPermission",
    "LayerVersion",
    "LayerVersionSpec",
    "LayerVersionStatus",
    "Published",
    "ResolvedCode",
    "ResolvedImage",
    "ResolvedLayer",
    "Snapshot",
    "Sources",
    "Version",
    "VersionSpec",
    "VersionStatus",
    "WeightedVersion",
]
