"""Known vulnerabilities of what is installed, from advisory files in OSV's form: needs no network.

    python benchmarks/audit.py dist/blemish.cdx.json advisories/      (make audit ADVISORIES=DIR)

The first file is the CycloneDX list that ``make dist`` writes; the folder holds advisories, a JSON
file each, as https://osv.dev publishes them for PyPI (``all.zip``, unpacked). Prints each match and
ends with 1 if there is one, and with 2 if the folder holds no advisory for PyPI: that is no audit.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from packaging.version import InvalidVersion, Version


def canonical(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed(cyclonedx: Path) -> dict[str, Version]:
    """Names and versions in a CycloneDX list."""
    parts = json.loads(cyclonedx.read_text("utf-8"))["components"]
    return {
        canonical(part["name"]): Version(part["version"]) for part in parts if part.get("version")
    }


def affected(entry: dict[str, Any], version: Version) -> bool:
    """Whether one ``affected`` entry of an advisory names this version."""
    if str(version) in entry.get("versions", ()) or version.public in entry.get("versions", ()):
        return True
    for span in entry.get("ranges", ()):
        if span["type"] not in ("ECOSYSTEM", "SEMVER"):
            continue  # commits say nothing of a wheel
        inside = False
        for event in sorted(span["events"], key=_when):
            if "introduced" in event and version >= _version(event["introduced"]):
                inside = True
            if "fixed" in event and version >= _version(event["fixed"]):
                inside = False
            if "last_affected" in event and version > _version(event["last_affected"]):
                inside = False
        if inside:
            return True
    return False


def _version(text: str) -> Version:
    try:
        return Version(text)
    except InvalidVersion:
        return Version("0")


def _when(event: dict[str, str]) -> Version:
    return _version(next(iter(event.values())))


def advisories(folder: Path) -> Iterator[dict[str, Any]]:
    """Advisories for PyPI that were not withdrawn."""
    for path in sorted(folder.rglob("*.json")):
        content = json.loads(path.read_text("utf-8"))
        pypi = any(a["package"]["ecosystem"] == "PyPI" for a in content.get("affected", ()))
        if pypi and not content.get("withdrawn"):
            yield content


def audit(cyclonedx: Path, folder: Path) -> tuple[int, list[str]]:
    """How many advisories were read, and a line for each that names what is installed."""
    versions, read, found = installed(cyclonedx), 0, list[str]()
    for content in advisories(folder):
        read += 1
        for entry in content["affected"]:
            name = canonical(entry["package"]["name"])
            pypi = entry["package"]["ecosystem"] == "PyPI"
            if pypi and name in versions and affected(entry, versions[name]):
                summary = content.get("summary") or content.get("details", "")[:100]
                found.append(f"{name} {versions[name]}: {content['id']}: {summary}")
    return read, sorted(set(found))


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    count, lines = audit(Path(sys.argv[1]), Path(sys.argv[2]))
    print("\n".join(lines))
    if not count:
        print(f"{sys.argv[2]} holds no advisory for PyPI: nothing was audited.")
    else:
        print(f"{count} advisories read, {len(lines)} name what is installed.")
    raise SystemExit(2 if not count else bool(lines))
