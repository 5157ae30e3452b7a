"""Versions: publish and list.

Theory. A number is claimed first, by a conditional write of ``status.lastVersion``; then the
Version is made. So two publishers never get one number, and a number whose Version was not made (a
crash in between) is skipped for ever: numbers only grow. What a version freezes is decided by
``klambda_core.snapshot``. Place: operations of ``dispatch``'s table; ``publish`` also serves
``Publish: true`` of create and update.
"""

from __future__ import annotations

from klambda_core import errors
from klambda_core.code import CODE_PENDING, CodeRef, Unresolved, resolved_code
from klambda_core.crd import Function, Version
from klambda_core.crd.base import Json
from klambda_core.names import LATEST
from klambda_core.snapshot import NewVersion, Unchanged
from klambda_core.snapshot import publish as decide_publish
from klambda_gateway.api.call import Call, Reply, Services
from klambda_gateway.api.lookup import (
    check_changeable,
    check_latest,
    check_revision,
    function_of,
    place_of,
)
from klambda_gateway.api.paging import page, with_marker
from klambda_gateway.api.views import code_sha256, function_configuration, version_configuration


class _Settled(Exception):
    """Publishing needs no new version: this one is the answer."""

    def __init__(self, version: Version) -> None:
        super().__init__()
        self.version = version


async def publish(
    services: Services, function: Function, *, description: str | None = None
) -> Version:
    """Publish ``$LATEST``, or find the version that already is what it is."""
    versions = await services.objects.versions(function)
    claimed: list[NewVersion] = []

    def claim(current: Function) -> Json:
        outcome = decide_publish(current, versions, description=description)
        match outcome:
            case Unchanged():
                raise _Settled(outcome.version)
            case Unresolved():
                raise _not_publishable(outcome)
            case NewVersion():
                claimed[:] = [outcome]
                return {"status": {"lastVersion": outcome.number}}

    code = resolved_code(function)
    new = isinstance(decide_publish(function, versions), NewVersion)
    if new and isinstance(code, CodeRef):
        now = services.now()
        await services.storage.check(services.objects, function.namespace, code.size, now)
    gone = errors.resource_not_found()
    try:
        await services.objects.change(function, claim, gone=gone, subresource="status")
    except _Settled as settled:
        return settled.version
    return await services.objects.create(Version, function.namespace, claimed[0].manifest)


def _not_publishable(outcome: Unresolved) -> errors.LambdaError:
    if outcome.reason == CODE_PENDING:
        return errors.wrong_state("Pending")
    return errors.invalid_parameter(outcome.message)


async def publish_version(services: Services, call: Call) -> Reply:
    """PublishVersion: 201, the version's configuration."""
    given, target = call.input, call.target()
    check_latest(target)
    function = await function_of(services, call, target)
    check_revision(function, given.get("RevisionId"))
    check_changeable(function, target.function_arn)
    code = resolved_code(function)
    current = None if isinstance(code, Unresolved) else code_sha256(code)
    if given.get("CodeSha256") not in (None, "", current):
        raise errors.invalid_parameter(
            f"CodeSHA256 ({given['CodeSha256']}) is different from current CodeSHA256 in $LATEST "
            f"({current}). Please try again with the CodeSHA256 in $LATEST."
        )
    version = await publish(services, function, description=given.get("Description"))
    return Reply(status=201, document=version_configuration(version, place_of(call)))


async def list_versions_by_function(services: Services, call: Call) -> Reply:
    """ListVersionsByFunction: ``$LATEST`` first, then the numbers; qualified ARNs."""
    target, place = call.target(), place_of(call)
    function = await function_of(services, call, target)
    latest = function_configuration(function, place, qualifier=LATEST, state=False)
    rows = [(f"{0:08d}", latest)]
    for version in await services.objects.versions(function):
        document = version_configuration(version, place, state=False)
        rows.append((f"{version.spec.version:08d}", document))
    shown, marker = page(rows, call, lambda row: row[0])
    return Reply(document=with_marker({"Versions": [row[1] for row in shown]}, marker))
