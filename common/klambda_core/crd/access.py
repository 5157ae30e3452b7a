"""Who may call and how: URL, resource policy, asynchronous events, runtime updates.

Shared by Function, Version and Alias. These are kept beside a function by Lambda and are never part
of a revision.
"""

from typing import Annotated, Literal

from pydantic import Field

from klambda_core.crd.base import LIST_SET, Model, list_map

Arn = Annotated[str, Field(max_length=2048)]


class Cors(Model):
    """Cross-origin settings of a function URL; the gateway answers preflights from them."""

    allow_credentials: bool | None = Field(
        None, description="Whether cookies may be sent across origins."
    )
    allow_headers: list[Annotated[str, Field(max_length=1024)]] | None = Field(
        None,
        max_length=100,
        description="Request headers that origins may send.",
        json_schema_extra=LIST_SET,
    )
    allow_methods: list[Annotated[str, Field(max_length=6)]] | None = Field(
        None, max_length=6, description="HTTP methods, or *.", json_schema_extra=LIST_SET
    )
    allow_origins: list[Annotated[str, Field(min_length=1, max_length=253)]] | None = Field(
        None,
        max_length=100,
        description="Origins such as https://example.org, or *.",
        json_schema_extra=LIST_SET,
    )
    expose_headers: list[Annotated[str, Field(max_length=1024)]] | None = Field(
        None,
        max_length=100,
        description="Response headers that scripts may read.",
        json_schema_extra=LIST_SET,
    )
    max_age: int | None = Field(
        None, ge=0, le=86400, description="Seconds for which a preflight may be cached."
    )


class FunctionUrl(Model):
    """A public HTTP address for the function, as Lambda's function URLs."""

    auth_type: Literal["NONE", "AWS_IAM"] = Field(
        description="NONE: anybody whom the resource policy lets in. AWS_IAM: signed requests only."
    )
    invoke_mode: Literal["BUFFERED", "RESPONSE_STREAM"] = Field(
        "BUFFERED", description="RESPONSE_STREAM sends the answer while it is written."
    )
    cors: Cors | None = Field(
        None, description="Cross-origin settings; absent: the function answers OPTIONS itself."
    )
    public: bool = Field(
        True,
        description="With authType NONE: grants the two public statements that AWS demands, "
        "so that YAML alone makes a working public URL.",
    )


class Destination(Model):
    """Where the outcome of an asynchronous invocation is sent."""

    destination: Annotated[str, Field(max_length=350)] | None = Field(
        None, description="ARN of a function, queue, topic or bus."
    )


class DestinationConfig(Model):
    """Destinations by outcome."""

    on_success: Destination | None = Field(None, description="After a successful run.")
    on_failure: Destination | None = Field(None, description="After the last attempt has failed.")


class EventInvokeConfig(Model):
    """How asynchronous events are retried and where their outcome goes."""

    maximum_retry_attempts: int | None = Field(
        None, ge=0, le=2, description="Retries after an error; 2 when absent."
    )
    maximum_event_age_in_seconds: int | None = Field(
        None, ge=60, le=21600, description="How long an event may wait; 21600 when absent."
    )
    destination_config: DestinationConfig | None = Field(
        None, description="Destinations by outcome."
    )


class RuntimeManagement(Model):
    """When a function moves to newer runtime images, kept for compatibility."""

    update_runtime_on: Literal["Auto", "FunctionUpdate", "Manual"] = Field(
        "Auto", description="When to update."
    )
    runtime_version_arn: Annotated[str, Field(max_length=2048)] | None = Field(
        None, description="With Manual: the runtime version."
    )


class Permission(Model):
    """One statement of the resource policy, in AddPermission's own members."""

    sid: str = Field(
        min_length=1,
        max_length=100,
        pattern="^[a-zA-Z0-9-_]+$",
        description="Statement id, unique in the policy.",
    )
    action: str = Field(
        max_length=128,
        pattern=r"^(lambda:[*]|lambda:[a-zA-Z]+|[*])$",
        description="For example lambda:InvokeFunction.",
    )
    principal: str = Field(
        min_length=1,
        max_length=2048,
        pattern=r"^[^\s]+$",
        description="Account, ARN, service or *.",
    )
    source_arn: Arn | None = Field(
        None, description="Only for requests on behalf of this resource."
    )
    source_account: str | None = Field(
        None, pattern=r"^\d{12}$", description="Only for requests of this account."
    )
    principal_org_id: str | None = Field(
        None,
        alias="principalOrgID",
        pattern="^o-[a-z0-9]{10,32}$",
        description="Only for this organization.",
    )
    event_source_token: str | None = Field(
        None,
        max_length=256,
        pattern=r"^[a-zA-Z0-9._\-]+$",
        description="Token that the event source must show.",
    )
    function_url_auth_type: Literal["NONE", "AWS_IAM"] | None = Field(
        None, description="Only for URL requests of this kind."
    )
    invoked_via_function_url: bool | None = Field(
        None, description="Only for requests that come by the URL."
    )


Policy = Annotated[
    list[Permission],
    Field(
        max_length=100,
        description="Resource policy, one entry per statement.",
        json_schema_extra=list_map("sid"),
    ),
]
