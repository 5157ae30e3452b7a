"""Area of a rectangle: the function of AWS's tutorial "Create your first Lambda function"."""

import json
import logging

logger = logging.getLogger()
logger.setLevel(logging.INFO)


def lambda_handler(event, context):
    area = event["length"] * event["width"]
    print(f"The area is {area}")
    logger.info("CloudWatch logs group: %s", context.log_group_name)
    return json.dumps({"area": area})
