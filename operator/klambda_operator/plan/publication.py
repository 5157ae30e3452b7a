"""Publishing for those who write YAML: `publish` (once per id) and `autoPublish`. Pure.

Only what serves is published: the function must have settled. The number is claimed by a
conditional write of `status.lastVersion` before the Version is made, as the API does it; a crash in
between skips a number, never gives one out twice. `status.published` says which id is done and by
which version; nothing changed since the last version means that version.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from klambda_core.crd import Function, Published, Version
from klambda_core.snapshot import NewVersion, Unchanged, publish
from klambda_core.state import function_state
from klambda_operator.model import Action, ClaimVersion, CreateVersion


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """What to do about the wish, and which wish is done."""

    actions: Sequence[Action] = ()
    published: Published | None = None
    open: bool = False
    """There is a wish, and it cannot be carried out before the function has settled."""


def plan_publication(function: Function, versions: Sequence[Version]) -> Publication:
    """`versions`: all of this very function's."""
    spec, done = function.spec, function.status.published
    wish = spec.publish
    new = wish is not None and (done is None or done.id != wish.id)
    if not (new or spec.auto_publish):
        return Publication(published=done)
    if not _settled(function):
        return Publication(published=done, open=True)
    description = wish.description if wish is not None and new else None
    outcome = publish(function, versions, description=description)
    if isinstance(outcome, NewVersion):
        claim = ClaimVersion(
            name=function.name,
            resource_version=function.metadata.resource_version,
            number=outcome.number,
        )
        return Publication(
            actions=[claim, CreateVersion(manifest=outcome.manifest)], published=done
        )
    if isinstance(outcome, Unchanged) and wish is not None and new:
        done = Published(id=wish.id, version=outcome.version.spec.version)
    return Publication(published=done)


def _settled(function: Function) -> bool:
    return function_state(function).last_update_status == "Successful"
