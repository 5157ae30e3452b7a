"""Plans: pure functions from a Snapshot and a time to a Plan; one module per kind.

Planning twice yields an empty second plan; executing any prefix of a plan and planning again
converges. No I/O, no randomness, no clock.
"""

from datetime import datetime

from klambda_operator.model import AliasSnapshot, FunctionSnapshot, Plan, Snapshot
from klambda_operator.plan.alias import plan_alias
from klambda_operator.plan.function import plan_function
from klambda_operator.plan.version import plan_version


def plan(snapshot: Snapshot, now: datetime) -> Plan:
    """What to do about one object."""
    if isinstance(snapshot, FunctionSnapshot):
        return plan_function(snapshot, now)
    if isinstance(snapshot, AliasSnapshot):
        return plan_alias(snapshot, now)
    return plan_version(snapshot, now)
