"""The image's build stage, its commands run as they stand in a clean folder: no engine is needed."""

import os
import re
import shutil
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STAGE = (ROOT / "Dockerfile").read_text().partition("\nFROM ")[2].partition("\nFROM ")[0]


def commands():
    """The shell commands of the stage's RUN lines, in order."""
    joined = re.sub(r"#.*\n", "", STAGE).replace("\\\n", " ")
    return re.findall(r"(?m)^RUN (.*)$", joined)


def context(folder):
    """What .dockerignore lets through: everything is ignored but what it names after."""
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    assert "*" in lines
    wanted = [line[1:] for line in lines if line.startswith("!")]
    ignored = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        kept = any(name == one or (one.endswith("/") and name.startswith(one)) for one in wanted)
        if kept and not any(fnmatch(part, one) for part in Path(name).parts for one in ignored):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, target, follow_symlinks=False)


@pytest.mark.soak
@pytest.mark.parametrize("build", ["compiled", "pure"])
def test_the_image_gets_the_build_that_it_was_asked_for(build, tmp_path):
    if shutil.which("cc") is None or not (ROOT / ".git").exists():
        pytest.skip("needs a C compiler and a checkout")
    image, source = tmp_path / "python", tmp_path / "src"
    subprocess.run([sys.executable, "-m", "venv", image], check=True)  # the image's own Python
    context(source)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PYTHON")},
        "BUILD": build,
        "PATH": f"{image}/bin{os.pathsep}{os.environ['PATH']}",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }
    said = ""
    for command in commands():
        here = command.replace("/opt/bridge", str(tmp_path / "bridge"))
        run = subprocess.run(
            ["sh", "-ec", here],
            cwd=source,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.returncode == 0, f"{here}\n{run.stdout}\n{run.stderr}"
        said += run.stdout
    assert f"({build})" in said
    made = list((tmp_path / "bridge").rglob("bridge/core/window*.so"))
    assert len(made) == (build == "compiled")


def test_the_image_is_made_by_three_commands_of_its_build_stage():
    assert len(commands()) == 3
    assert "tools/compiled/build.py" in commands()[1]
