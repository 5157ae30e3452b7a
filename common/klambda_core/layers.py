"""Which layers a function gets: rules on its list, who may use a version, what each contains. Pure.

A function names layer versions by ARN. Each ARN is resolved once, into `status.layers`, and never
again: what was resolved goes on being served whatever becomes of the LayerVersion. Both doors use
these rules: the API answers a request with the Trouble, the leading gateway writes it into the
condition LayersResolved. Texts: aws-contract a.4. Not here: reading objects, moving bytes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from klambda_core.arn import LayerTarget, layer_arn, parse_layer
from klambda_core.code import CodeRef, Unresolved, reference, source_digest
from klambda_core.crd.function import Function
from klambda_core.crd.layer import LayerPermission, LayerVersion
from klambda_core.crd.status import ResolvedLayer
from klambda_core.limits import LAYERS_MAX, UNZIPPED_MAX

CONDITION = "LayersResolved"
PENDING = "LayersPending"
MISSING = "LayerMissing"
DENIED = "LayerDenied"
INVALID = "InvalidLayers"
TOO_LARGE = "LayersTooLarge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """Why a function cannot have these layers: a reason, and AWS's sentence."""

    reason: str
    message: str

    @property
    def passing(self) -> bool:
        """Whether a change of a LayerVersion can help, as against one of the function."""
        return self.reason in (PENDING, MISSING, DENIED)


def check_list(arns: Sequence[str], region: str) -> Trouble | None:
    """The rules on the list itself."""
    if len(arns) > LAYERS_MAX:
        return _invalid(f"Cannot reference more than {LAYERS_MAX} layers.")
    seen: dict[tuple[str | None, str], str] = {}
    for arn in arns:
        target = parse_layer(arn)
        if not isinstance(target, LayerTarget) or target.version is None:
            return missing(arn)
        if target.region != region:
            return _invalid(
                "Layers are not in the same region as the function. "
                f"Layers are expected to be in region {region}."
            )
        if twin := seen.get((target.account, target.name)):
            return _invalid(
                "Two different versions of the same layer are not allowed to be referenced in the "
                f"same function. {twin} and {arn} are versions of the same layer."
            )
        seen[target.account, target.name] = arn
    return None


def check_size(code: CodeRef | None, layers: Sequence[ResolvedLayer]) -> Trouble | None:
    """Code and layers together unpack to at most 250 MB; sizes that nobody knows count nothing.

    Layers that are too large by themselves have their own sentence (D: bento-video/bento#1).
    """
    sizes = [each.unzipped or 0 for each in (code, *layers) if each is not None]
    if sum(sizes) <= UNZIPPED_MAX:
        return None
    if sum(each.unzipped or 0 for each in layers) > UNZIPPED_MAX:
        return Trouble(
            reason=TOO_LARGE,
            message=f"Layers consume more than the available size of {UNZIPPED_MAX} bytes",
        )
    return Trouble(
        reason=TOO_LARGE,
        message="Function code combined with layers exceeds the maximum allowed size of "
        f"{UNZIPPED_MAX} bytes. The actual size is {sum(sizes)} bytes.",
    )


def missing(arn: str) -> Trouble:
    """No such layer version, or it is deleted."""
    return Trouble(reason=MISSING, message=f"Layer version {arn} does not exist.")


def denied(arn: str) -> Trouble:
    """Another account's layer version, which its policy does not open (or which is not there)."""
    return Trouble(
        reason=DENIED,
        message=f"The policy of layer version {arn} does not allow lambda:GetLayerVersion to this "
        "account.",
    )


def take(layer: LayerVersion, arn: str) -> ResolvedLayer | Trouble:
    """What a function that names this version gets."""
    content = content_of(layer)
    if isinstance(content, Unresolved):
        return Trouble(
            reason=PENDING, message=f"Layer version {arn} is not ready: {content.message}"
        )
    return ResolvedLayer(
        arn=arn, sha256=content.sha256, size=content.size, unzipped=content.unzipped
    )


def content_of(layer: LayerVersion) -> CodeRef | Unresolved:
    """The zip of a layer version, or why there is none."""
    content = layer.spec.content
    source = source_digest(content)
    if source is None:
        if content.blob is None:
            return Unresolved(reason="NoContent", message="There is no content.", final=True)
        return reference(content.blob)
    found = layer.status.content
    if found is not None and found.source == source:
        return reference(found)
    for condition in layer.status.conditions:
        if condition.type == "Ready" and condition.status == "False":
            return Unresolved(reason=condition.reason, message=condition.message, final=True)
    return Unresolved(reason=PENDING, message="The content is being fetched.")


def arn_of(layer: LayerVersion, *, region: str, account: str) -> str:
    """The ARN by which functions name a version; `account` is that of its namespace."""
    return layer.spec.arn or layer_arn(region, account, layer.spec.layer_name, layer.spec.version)


def allows(policy: Sequence[LayerPermission] | None, account: str) -> bool:
    """Whether a policy opens a version to another account. There are no organizations here."""
    root = f"arn:aws:iam::{account}:root"
    return any(
        each.organization_id is None and each.principal in ("*", account, root)
        for each in policy or ()
    )


def resolved_layers(function: Function) -> list[ResolvedLayer] | Unresolved:
    """The layers that instances of `$LATEST` get, in order, or why not."""
    resolved: Mapping[str, ResolvedLayer] = {
        layer.arn: layer for layer in function.status.layers or []
    }
    wanted = function.spec.layers or []
    if wanted and (refusal := _refusal(function)):
        return refusal
    for arn in wanted:
        if arn not in resolved:
            message = (
                f"Layer version {arn} is being looked up; if this lasts, see the gateway's log."
            )
            return Unresolved(reason=PENDING, message=message)
    return [resolved[arn] for arn in wanted]


def _refusal(function: Function) -> Unresolved | None:
    """What the gateway found wrong with the layers of this generation."""
    for condition in function.status.conditions:
        current = condition.observed_generation == function.metadata.generation
        if condition.type == CONDITION and condition.status == "False" and current:
            return Unresolved(reason=condition.reason, message=condition.message, final=True)
    return None


def _invalid(message: str) -> Trouble:
    return Trouble(reason=INVALID, message=message)
