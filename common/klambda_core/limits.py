"""Lambda's quotas and this project's own bounds, each a named constant with its source.

Sources: botocore's service model (M), AWS's quota page (D), the Kubernetes API conventions (K8s),
our design (ours).
"""

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * 1024

# Function configuration (D, M)
TIMEOUT_MAX: Final = 900
TIMEOUT_DEFAULT: Final = 3
MEMORY_MIN: Final = 128
MEMORY_MAX: Final = 10_240
MEMORY_DEFAULT: Final = 128
EPHEMERAL_STORAGE_MIN: Final = 512
EPHEMERAL_STORAGE_MAX: Final = 10_240
DESCRIPTION_MAX: Final = 256
HANDLER_MAX: Final = 128
FUNCTION_NAME_MAX: Final = 64
FUNCTION_NAME_PATTERN: Final = "^[a-zA-Z0-9-_]+$"
ALIAS_NAME_MAX: Final = 128
ALIAS_NAME_PATTERN: Final = "^[a-zA-Z0-9-_]+$"
ENVIRONMENT_BYTES_MAX: Final = 4096
LAYERS_MAX: Final = 5
LAYER_NAME_MAX: Final = 140
LAYER_NAME_PATTERN: Final = "^[a-zA-Z0-9-_]+$"
LICENSE_INFO_MAX: Final = 512
COMPATIBLE_RUNTIMES_MAX: Final = 15
TAGS_MAX: Final = 50
SIGNING_PROFILES_MAX: Final = 20
FILTERS_MAX: Final = 5
TAG_KEY_MAX: Final = 128
TAG_VALUE_MAX: Final = 256
POLICY_BYTES_MAX: Final = 20 * KIB

# Code (D)
ZIP_DIRECT_MAX: Final = 52_428_800
UNZIPPED_MAX: Final = 262_144_000
CODE_STORAGE_MAX: Final = 80_530_636_800
CREATE_REQUEST_MAX: Final = 70_167_211
CONFIGURATION_REQUEST_MAX: Final = 5120
"""Of UpdateFunctionConfiguration (developer guide, "Troubleshoot deployment issues")."""

# Payloads (D)
PAYLOAD_SYNC_MAX: Final = 6 * MIB
PAYLOAD_ASYNC_MAX: Final = 1 * MIB
PAYLOAD_INVOKE_ASYNC_MAX: Final = 256 * KIB
"""InvokeAsync, the older operation."""

# Concurrency (D)
CONCURRENT_EXECUTIONS: Final = 1000
UNRESERVED_MIN: Final = 100
BURST_LIMIT: Final = 1000
"""Environments that a function may start within ten seconds."""

# Code inside the object (ours: client-side apply keeps a second copy and caps an object at 256 KiB)
FILES_BYTES_MAX: Final = 128 * KIB
FILES_COUNT_MAX: Final = 256
ZIP_BASE64_MAX: Final = 240 * KIB
"""180 KiB of zip in base64."""

# Object names (ours; 63 is the length of a Kubernetes label value)
OBJECT_NAME_MAX: Final = 46
"""`<object>-latest-<8 hex>` and `<object>-v<6 digits>-<8 hex>` must fit 63."""
LABEL_MAX: Final = 63
VERSION_NUMBER_MAX: Final = 999_999

# Instances
MEMORY_HEADROOM_MIB: Final = 32
"""init's own share above the function's memory (ours)."""
MEMORY_PER_VCPU_MB: Final = 1769
"""Memory at which Lambda gives one full vCPU (D)."""
GRACE_BEYOND_TIMEOUT_S: Final = 10
INSTANCE_UID: Final = 993
"""sbx_user1051, the user that runs Lambda functions (D)."""

RESERVED_ENVIRONMENT: Final = (
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_DEFAULT_REGION",
    "AWS_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_LAMBDA_RUNTIME_API",
    "LAMBDA_TASK_ROOT",
    "LAMBDA_RUNTIME_DIR",
)
"""Variables that a function may not set (D: "Defined runtime environment variables")."""
