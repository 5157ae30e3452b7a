"""The one catalogue of errors that Lambda's API answers with.

Place: everything that refuses a request raises ``LambdaError``; the gateway renders it once, at its
edge. Callers import this package: ``errors.function_not_found(arn)``; each text stands once, with
its source, in the module of what it is about. Invariants: status, the case of the message key and
``Type`` are those of AWS's own service model (a test compares them with botocore's).
Sources: M = botocore's model 2015-03-31, D = AWS's developer guide and API reference, L = texts
reported by public emulators' authors who compared them with AWS, K = general knowledge of AWS's
behaviour, unconfirmed, O = our own words where AWS has no such case.
Not here: shape validation (the gateway's ``api.validation`` makes those texts from the model).
"""

from klambda_core.errors.code import *
from klambda_core.errors.configuration import *
from klambda_core.errors.invoke import *
from klambda_core.errors.kinds import *
from klambda_core.errors.request import *
from klambda_core.errors.resources import *
