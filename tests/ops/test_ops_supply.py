"""What the bridge is made of: looked up for vulnerabilities, and listed beside the wheel."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
VULNERABLE = {"name": "h2", "version": "1", "vulns": [{"id": "PYSEC-1", "fix_versions": ["2"]}]}
CLEAN = {"name": "h2", "version": "2", "vulns": []}
UNKNOWN = {"name": "h2", "skip_reason": "not found"}


@pytest.mark.parametrize(
    ("found", "code", "said"),
    [
        ([VULNERABLE, CLEAN], 1, "h2 1: PYSEC-1; fixed in 2"),
        ([CLEAN, CLEAN], 0, "no known vulnerability"),
        ([UNKNOWN, CLEAN], 0, "1 of the locked packages could be looked up"),
        (None, 0, "Passed over"),
    ],
)
def test_a_known_vulnerability_fails_the_check_and_a_missing_network_does_not(
    found, code, said, tmp_path
):
    audit = tmp_path / "pip-audit"
    report = "" if found is None else json.dumps({"dependencies": found})
    audit.write_text(
        '#!/bin/sh\nfor it; do test "$last" = --output && out=$it; last=$it; done\n'
        f"cat > \"$out\" <<'END'\n{report}\nEND\nexit 1\n"
    )
    audit.chmod(0o755)
    (tmp_path / "python").symlink_to(sys.executable)
    (tmp_path / ".venv").mkdir()
    (tmp_path / "requirements").symlink_to(ROOT / "requirements")
    run = subprocess.run(
        [ROOT / "tools/check-vulnerabilities"],
        cwd=tmp_path, env={**os.environ, "BIN": str(tmp_path)}, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert run.returncode == code
    assert said in run.stdout + run.stderr


def test_the_bill_of_materials_lists_every_locked_package_to_its_hash(tmp_path):
    out = tmp_path / "bom.json"
    tool = (ROOT / "tools/build-wheel").read_text()
    assert "requirements requirements/runtime.txt --pyproject pyproject.toml" in tool
    subprocess.run(
        [
            *(BIN / "cyclonedx-py", "requirements", "requirements/runtime.txt"),
            *("--pyproject", "pyproject.toml", "--output-reproducible"),
            *("--output-format", "JSON", "--output-file", out),
        ],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    bom = json.loads(out.read_text())
    assert (bom["bomFormat"], bom["metadata"]["component"]["name"]) == (
        "CycloneDX",
        "livequery-bridge",
    )
    lock = (ROOT / "requirements/runtime.txt").read_text()
    locked = set(re.findall(r"^([a-z0-9-]+)==(\S+)", lock, re.MULTILINE))
    listed = {(item["name"], item["version"]) for item in bom["components"]}
    assert listed == locked
    for item in bom["components"]:
        hashed = [h for ref in item["externalReferences"] for h in ref.get("hashes", [])]
        assert hashed, item["name"]
