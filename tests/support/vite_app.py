"""Apps built by Vite, with the library as npm packs it."""

import shutil
import subprocess
import tarfile

from library_paths import LIBRARY


def build_app(app, *, base="/"):
    """Build the app in a folder; returns the folder of what is served."""
    (app / "package.json").write_text('{"private": true, "type": "module"}')
    packages = app / "node_modules"
    packages.mkdir()
    for package in (LIBRARY / "node_modules").iterdir():
        (packages / package.name).symlink_to(package)
    subprocess.run(
        ("npm", "pack", "--silent", "--pack-destination", app),
        cwd=LIBRARY,
        check=True,
        capture_output=True,
    )
    with tarfile.open(next(app.glob("*.tgz"))) as archive:
        archive.extractall(app, filter="data")
    (app / "package").rename(packages / "livequery-client")
    run = subprocess.run(
        (packages / ".bin" / "vite", "build", "--base", base),
        cwd=app,
        check=False,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return app / "dist"


def copy_app(name, folder):
    """Copy one of the library's test apps."""
    return shutil.copytree(LIBRARY / "test" / "apps" / name, folder / name)
