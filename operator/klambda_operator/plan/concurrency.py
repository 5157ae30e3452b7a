"""Whether the account can give a function what it reserves. Pure; reported, never refused.

Lambda's API refuses a reservation that would leave less than 100 unreserved; kubectl's door takes
it, and the youngest functions beyond the limit say so.
"""

from collections.abc import Sequence

from klambda_core.conditions import Fact
from klambda_core.crd import Function
from klambda_core.limits import UNRESERVED_MIN
from klambda_operator import reasons
from klambda_operator.model import Reservation


def reservation_facts(
    function: Function, others: Sequence[Reservation], concurrency: int
) -> list[Fact]:
    """ConcurrencyOvercommitted of a function that reserves; nothing about others.

    `concurrency`: the account's quota.
    """
    reservable = concurrency - UNRESERVED_MIN
    wanted = function.spec.reserved_concurrent_executions
    if wanted is None:
        return []
    mine = (function.metadata.creation_timestamp, function.uid)
    older = sum(each.amount for each in others if (each.created, each.uid) < mine)
    kind = reasons.CONCURRENCY_OVERCOMMITTED
    if older + wanted <= reservable:
        return [Fact(type=kind, status="False", reason=reasons.OK)]
    left = max(0, reservable - older)
    return [
        Fact(
            type=kind,
            status="True",
            reason=reasons.RESERVED_BY_OTHERS,
            message=reasons.overcommitted(wanted, left),
        )
    ]
