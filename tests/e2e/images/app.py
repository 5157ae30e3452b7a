import logging
import os
from pathlib import Path
from typing import Any

calls = 0


def handler(event: Any, context: Any) -> Any:
    global calls
    calls += 1
    match (event or {}).get("do"):
        case "spy":
            return {"env": dict(os.environ), "cwd": str(Path.cwd()), "uid": os.getuid()}
        case "write":
            Path(event["path"]).write_text("x")
        case "log":
            logging.getLogger().warning("first\nsecond")
        case "exit":
            os._exit(5)
    return calls


def other(event: Any, context: Any) -> str:
    return "other"
