"""Requests made up from the server's own description, valid and invalid, against the real server.

Hypothesis draws them by the OpenAPI document (schemathesis). Each must be answered as the document
says: never with 5xx, always a status, a content type and a body that it names.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

SERVING = Path(__file__).parents[1] / "serving"
sys.path.insert(0, str(SERVING))

from running_server import RunningServer, spots  # noqa: E402
from spot_model import part, png  # noqa: E402


def fuzzed(examples: int, seed: int = 0) -> dict[str, Any]:
    """So many valid and so many invalid requests of every operation; what was answered wrongly."""
    with tempfile.TemporaryDirectory() as place:
        words = [f"{place}/spots.blemish", "--port", "0", "--state", f"{place}/state"]
        log = Path(place, "log")
        server = RunningServer(spots([*words, "--max-mib", "2"], log), log)
        try:
            for level in range(100, 120):  # so that there are pictures to ask for
                kept = {"keep": "true", "name": f"{level}.png"}
                server.client.post("/v1/predict", params=kept, content=png(part(level)))
            found = _fuzz(server.url, examples, seed)
            well = server.client.post("/v1/predict", content=png(part(105))).json()
            if well["results"][0]["score"] != 105 or server.process.poll() is not None:
                found["wrong"].append(f"afterwards: {well}")
            if "Traceback" in (log := server.log.read_text()):
                found["wrong"].append(log[-2000:])
        finally:
            server.stop()
    return found


def _fuzz(url: str, examples: int, seed: int) -> dict[str, Any]:
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis.errors import Unsatisfiable
    from schemathesis.core.failures import FailureGroup

    schemathesis.checks.load_all_checks()
    answered, wrong = Counter[str](), dict[str, str]()
    checks = [
        schemathesis.checks.CHECKS.get_one(name)
        for name in (
            "not_a_server_error",
            "status_code_conformance",
            "content_type_conformance",
            "response_schema_conformance",
        )
    ]
    quick = settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    schema = schemathesis.openapi.from_url(f"{url}/openapi.json")
    # A stream of events has no end.
    operations = [found.ok() for found in schema.exclude(path="/v1/events").get_all_operations()]
    for operation in operations:
        name = f"{operation.method.upper()} {operation.path}"

        def ask(case: schemathesis.Case) -> None:
            try:
                answer = case.call(timeout=30)
                answered[f"{answer.status_code // 100}xx"] += 1
                case.validate_response(answer, checks=checks)
            except FailureGroup as failed:
                for failure in failed.exceptions:
                    kind = f"{name}: {answer.status_code}, {failure.title}"  # noqa: B023
                    wrong.setdefault(kind, f"{failure}\n{case.as_curl_command()}")

        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            drawn = given(case=operation.as_strategy(generation_mode=mode))(ask)
            with contextlib.suppress(Unsatisfiable):  # where nothing is asked nothing can be wrong
                seeded(seed)(quick(drawn))()
    return {
        "operations": len(operations),
        "requests": sum(answered.values()),
        "answers": dict(sorted(answered.items())),
        "wrong": [f"{name}: {text}" for name, text in wrong.items()],
    }


if __name__ == "__main__":
    import json

    print(json.dumps(fuzzed(int(sys.argv[1])), indent=1).replace("\\n", "\n"))
