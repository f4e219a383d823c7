"""A small command-line agent: asks its model over Messages, runs the commands it is told to, prints events."""

import json
import os
import subprocess
import sys
import urllib.error
import urllib.request

TOOL = {"name": "bash", "input_schema": {"type": "object", "properties": {"command": {"type": "string"}}}}


def say(**event: object) -> None:
    print(json.dumps(event), flush=True)


def ask() -> tuple[str | None, str]:
    """A command, or the last words. Raises OSError or ValueError when the reply fails or is cut."""
    body = {"model": os.environ["MODEL"], "stream": True, "tools": [TOOL], "messages": []}
    request = urllib.request.Request(os.environ["BASE_URL"] + "/v1/messages", json.dumps(body).encode())
    request.add_header("x-api-key", os.environ["KEY"])
    command, text = "", ""
    with urllib.request.urlopen(request) as reply:
        lines = reply.read().decode().splitlines()
    events = [json.loads(line[6:]) for line in lines if line.startswith("data: ")]
    if events[-1]["type"] != "message_stop":
        raise ValueError("the stream was cut")
    for event in events:
        delta = event.get("delta", {})
        command += delta.get("partial_json", "")
        text += delta.get("text", "")
    return (json.loads(command)["command"] if command else None), text


def main() -> int:
    say(kind="start", argv=sys.argv[1:])
    while True:
        try:
            command, text = ask()
        except urllib.error.HTTPError as error:
            say(kind="end", ok=False, text=error.read().decode())
            return 1
        except (OSError, ValueError) as error:
            say(kind="end", ok=False, text=str(error))
            return 1
        if command is None:
            say(kind="end", ok=True, text=text)
            return 0
        done = subprocess.run(command, shell=True, check=False)
        say(kind="tool", text=command, code=done.returncode)


sys.exit(main())
