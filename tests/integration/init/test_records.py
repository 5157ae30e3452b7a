"""Log records of AWS's clients, which come in frames: one stays one (reference §g.4, §g.5)."""

from __future__ import annotations

import json
import re
from pathlib import Path

from tests.support.instance_peer import eventually

from .conftest import Launch
from .test_extensions import start
from .test_node_functions import NODE as SETTINGS
from .test_telemetry import records, told

PYTHON = """
import logging, os
logger = logging.getLogger()
logger.setLevel('INFO')
def lambda_handler(event, context):
    if event == 'raise':
        raise ValueError('boom')
    print('before')
    logger.info('first\\nsecond')
    print('after')
    if event == 'child':
        if os.fork() == 0:
            os.setsid()
            logger.info('of a\\nchild')
            os._exit(0)
        os.wait()
    if event == 'large':
        logger.info('x' * 3_000_000)
    return os.environ.get('_LAMBDA_TELEMETRY_LOG_FD')
"""
NODE = """
export const handler = async (event) => {
  if (event === 'raise') throw new TypeError('boom');
  if (event === 'flood') {  // stdout, which Node.js opens without blocking, must not make it fail
    for (let n = 0; n < 200; n++) {
      process.stdout.write('y'.repeat(100_000) + '\\n');
      console.log('x'.repeat(100_000));
    }
    return 'all';
  }
  console.log('first\\nsecond');
  process.stdout.write('plain\\n');
  console.error(new Error('told'));
  return process.env._LAMBDA_TELEMETRY_LOG_FD ?? null;
};
"""


def between(tail: str) -> str:
    """What the function wrote."""
    found = re.search(r"START [^\n]*\n(.*)END ", tail, re.DOTALL)
    assert found is not None, tail
    return found[1]


async def test_python(launch: Launch) -> None:
    running = await launch(PYTHON)
    outcome = await running.connection.invoke(requestId="r-1")
    assert outcome.json is None, "the client hides the descriptor from the function"
    assert re.fullmatch(
        r"before\n\[INFO\]\t[0-9T:.-]*Z\tr-1\tfirst\nsecond\nafter\n", between(outcome.tail)
    )
    outcome = await running.connection.invoke("raise")
    said = between(outcome.tail)
    assert said.startswith("[ERROR] ValueError: boom\nTraceback (most recent call last):\n")
    assert "\r" not in said
    outcome = await running.connection.invoke("child")
    assert between(outcome.tail).endswith("\tof a\nchild\n")
    outcome = await running.connection.invoke("large")
    assert outcome.tail.count("x") > 3000
    assert outcome.tail.splitlines()[-1].startswith("REPORT "), "in its own line"


async def test_node(launch: Launch, node_bootstrap: str) -> None:
    running = await launch({"index.mjs": NODE}, bootstrap=node_bootstrap, **SETTINGS)
    outcome = await running.connection.invoke(requestId="r-1")
    assert outcome.json is None
    said = between(outcome.tail)
    assert re.match(r"[0-9T:.-]*Z\tr-1\tINFO\tfirst\nsecond\nplain\n", said), said
    assert re.search(r"\tr-1\tERROR\tError: told\n    at ", said), said
    outcome = await running.connection.invoke("raise")
    assert re.match(r"[0-9T:.-]*Z\t[^\t]*\tERROR\tInvoke Error \t\{", between(outcome.tail))
    assert (await running.connection.invoke("flood")).json == "all"


async def test_subscribers_get_each_record_whole(launch: Launch, tmp_path: Path) -> None:
    """With the time at which it was written."""
    running = await start(launch, tmp_path, {"eye": {"telemetry": {}, "work": 0.3}}, source=PYTHON)
    await running.connection.invoke(requestId="r-1")
    await running.connection.invoke("raise", requestId="r-2")
    await eventually(lambda: any("boom" in str(each) for each in records(running, "function")))
    said = records(running, "function")
    assert said[0] == "before"
    assert said[1].endswith("\tfirst\nsecond")
    assert said[2] == "after"
    assert said[3].startswith("[ERROR] ValueError: boom\nTraceback")
    (event,) = [each for each in told(running) if "first" in str(each["record"])]
    stamp = re.search(r"\t([0-9T:.-]*Z)\t", event["record"])
    assert stamp is not None
    assert event["time"][:19] == stamp[1][:19]


async def test_json_records(launch: Launch, tmp_path: Path) -> None:
    """Objects, as LoggingConfig wants them."""
    members = {"logFormat": "JSON", "applicationLogLevel": "INFO"}
    running = await start(
        launch, tmp_path, {"eye": {"telemetry": {}, "work": 0.3}}, source=PYTHON, **members
    )
    outcome = await running.connection.invoke(requestId="r-1")
    lines = [json.loads(line) for line in outcome.tail.splitlines() if line.startswith("{")]
    (logged,) = [each for each in lines if each.get("message") == "first\nsecond"]
    assert (logged["level"], logged["requestId"]) == ("INFO", "r-1")
    await running.connection.invoke("raise", requestId="r-2")
    await eventually(lambda: logged in records(running, "function"))
