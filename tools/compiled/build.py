"""Builds the compiled bridge: `make compiled`. The sources are the same, and stay beside it.

The checkout is copied to build/compiled; the modules of modules.toml are compiled there, in place.
So tests and benchmarks run in that copy as in any checkout. The wheel is the pure one with the
extension modules added, tagged for this Python and this platform.
"""

import base64
import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
TREE: Final = ROOT / "build" / "compiled"
LISTED: Final = Path(__file__).with_name("modules.toml")
_SUFFIX: Final = sysconfig.get_config_var("EXT_SUFFIX")


def compiled_modules() -> list[str]:
    """Return the files that are compiled, as paths beneath the checkout."""
    names = tomllib.loads(LISTED.read_text())["compiled"]
    return [f"{name.replace('.', '/')}.py" for name in names]


def _checkout_files() -> set[str]:
    """Return what git knows or does not ignore; all there is where git is not, as in an image."""
    if not (ROOT / ".git").exists():
        paths = (path for path in ROOT.rglob("*") if path.is_file() or path.is_symlink())
        names = {str(path.relative_to(ROOT)) for path in paths}
        return {name for name in names if not name.startswith(("build/", "dist/"))}
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    return {os.fsdecode(name) for name in listed.stdout.split(b"\0") if name}


def copy_checkout() -> None:
    """Make the copy what the checkout is, files that git ignores left out."""
    names = _checkout_files()
    wanted = {name for name in names if os.path.lexists(ROOT / name)}
    for path in sorted(TREE.rglob("*"), reverse=True) if TREE.exists() else ():
        name = str(path.relative_to(TREE))
        if (path.is_file() or path.is_symlink()) and name not in wanted and _is_copied(name):
            path.unlink()
    for name in wanted:
        source, target = ROOT / name, TREE / name
        if target.is_file() and not target.is_symlink() and _same(source, target):
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(source, target, follow_symlinks=False)


def _is_copied(name: str) -> bool:
    """Whether a file may be one that an earlier copy left, not what is made there."""
    first = name.split("/", 1)[0]
    return first in {"bridge", "livetier", "livequery", "tests", "bench", "docs", "tools"} and (
        "__pycache__" not in name and "/out/" not in name
    )


def _same(one: Path, other: Path) -> bool:
    return one.stat().st_size == other.stat().st_size and one.read_bytes() == other.read_bytes()


def compile_tree() -> None:
    """Compile the listed modules in the copy, in place."""
    for old in (*TREE.glob(f"*{_SUFFIX}"), *(TREE / "bridge").rglob(f"*{_SUFFIX}")):
        old.unlink()
    environ = {**os.environ, "MYPYPATH": str(TREE)}
    script = str(Path(__file__).with_name("extension.py"))
    subprocess.run([sys.executable, script, *compiled_modules()], cwd=TREE, env=environ, check=True)


def build_wheel(into: Path) -> Path:
    """Make the wheel of the copy; return its path."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", "wheel"]
    pure = TREE / "build" / "wheel"
    shutil.rmtree(pure, ignore_errors=True)
    subprocess.run(
        [*command, "--no-deps", "--wheel-dir", str(pure), str(ROOT)], cwd=ROOT, check=True
    )
    [wheel] = pure.glob("*.whl")
    return _with_extensions(wheel, into)


def _with_extensions(wheel: Path, into: Path) -> Path:
    """Add the extension modules to a pure wheel, under its own tag (PyPA, binary distributions)."""
    version = f"cp{sys.version_info.major}{sys.version_info.minor}"
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    tag = f"{version}-{version}-{platform}"
    into.mkdir(parents=True, exist_ok=True)
    target = into / wheel.name.replace("py3-none-any", tag)
    added = [*TREE.glob(f"*{_SUFFIX}"), *sorted((TREE / "bridge").rglob(f"*{_SUFFIX}"))]
    with zipfile.ZipFile(wheel) as pure, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as out:
        files = {name: pure.read(name) for name in pure.namelist()}
        files |= {str(path.relative_to(TREE)): path.read_bytes() for path in added}
        [facts] = [name for name in files if name.endswith(".dist-info/WHEEL")]
        record = facts.removesuffix("WHEEL") + "RECORD"
        del files[record]
        files[facts] = (
            files[facts]
            .replace(b"Root-Is-Purelib: true", b"Root-Is-Purelib: false")
            .replace(b"Tag: py3-none-any", b"Tag: " + tag.encode())
        )
        for name, data in files.items():
            out.writestr(name, data)
        lines = [f"{name},{_digest(data)},{len(data)}\n" for name, data in files.items()]
        out.writestr(record, "".join(lines) + f"{record},,\n")
    return target


def _digest(data: bytes) -> str:
    encoded = base64.urlsafe_b64encode(hashlib.sha256(data).digest())
    return "sha256=" + encoded.rstrip(b"=").decode()


def main() -> None:
    """Build the copy, and the wheel unless `tree` is asked for."""
    copy_checkout()
    compile_tree()
    if sys.argv[1:] != ["tree"]:
        sys.stdout.write(f"{build_wheel(ROOT / 'dist')}\n")


if __name__ == "__main__":
    main()
