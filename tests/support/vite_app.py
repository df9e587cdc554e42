"""Apps built by Vite, with the library as npm packs it."""

import shutil
import subprocess
import tarfile

import pytest

from library_paths import LIBRARY


def install_app(app):
    """Install an app as its author would: its package.json, and the library's tarball."""
    tarball = _pack(app)
    words = ("install", "--prefer-offline", "--no-audit", "--no-fund", f"./{tarball.name}")
    run = subprocess.run(("npm", *words), cwd=app, check=False, capture_output=True, text=True)
    if run.returncode and ("ENOTFOUND" in run.stderr or "EAI_AGAIN" in run.stderr):
        pytest.skip("*** NO NPM REGISTRY: a fresh app could not be installed ***")
    assert run.returncode == 0, run.stderr


def link_app(app):
    """Give an app the packages of the library's tests, and the library unpacked."""
    (app / "package.json").write_text('{"private": true, "type": "module"}')
    packages = app / "node_modules"
    packages.mkdir()
    for package in (LIBRARY / "node_modules").iterdir():
        (packages / package.name).symlink_to(package)
    with tarfile.open(_pack(app)) as archive:
        archive.extractall(app, filter="data")
    (app / "package").rename(packages / "livequery-client")


def build_app(app, *, base="/"):
    """Build an app; returns the folder of what is served."""
    run = subprocess.run(
        (app / "node_modules" / ".bin" / "vite", "build", "--base", base),
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


def _pack(app):
    subprocess.run(
        ("npm", "pack", "--silent", "--pack-destination", app),
        cwd=LIBRARY,
        check=True,
        capture_output=True,
    )
    return next(app.glob("*.tgz"))
