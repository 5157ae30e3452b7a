"""Lambda's tags, shared by the kinds that carry them."""

from typing import Annotated

from pydantic import Field

from klambda_core.crd.base import cel, rule
from klambda_core.limits import TAG_KEY_MAX, TAG_VALUE_MAX, TAGS_MAX

Tags = Annotated[
    dict[str, Annotated[str, Field(max_length=TAG_VALUE_MAX)]],
    Field(
        max_length=TAGS_MAX,
        description="Lambda's tags.",
        json_schema_extra=cel(
            rule(
                f"self.all(k, size(k) <= {TAG_KEY_MAX} && !k.startsWith('aws:'))",
                f"tags: keys of at most {TAG_KEY_MAX}, not from aws:",
            )
        ),
    ),
]
