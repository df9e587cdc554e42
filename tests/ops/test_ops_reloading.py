"""Reloading: each change of the files is loaded once, however many calls ask."""

import asyncio

from bridge.tls.pem import TlsError
from bridge.tls.reloading import ReloadableFiles


def numbers(path):
    def load():
        text = path.read_text()
        if not text.isdecimal():
            raise TlsError(f"{path}: not a number")
        return int(text)

    return ReloadableFiles((str(path),), load, what="number")


async def reload(files, times=8):
    return sorted(await asyncio.gather(*(files.reload_if_changed() for _ in range(times))))


async def test_concurrent_calls_reload_once(tmp_path):
    path = tmp_path / "number"
    path.write_text("1")
    files = numbers(path)
    assert await reload(files) == [False] * 8
    path.write_text("22")
    assert await reload(files) == [False] * 7 + [True]
    assert files.current == 22
    assert files.reloads == {("ok",): 1, ("failed",): 0}


async def test_a_file_that_goes_bad_is_logged_once_and_the_old_object_stays(tmp_path, caplog):
    path = tmp_path / "number"
    path.write_text("1")
    files = numbers(path)
    path.write_text("rubbish")
    assert await reload(files) == [False] * 8
    assert files.current == 1
    assert files.reloads == {("ok",): 0, ("failed",): 1}
    assert [record.getMessage() for record in caplog.records] == [
        f"number can't be used, the old one stays: {path}: not a number"
    ]
    path.unlink()
    path.write_text("333")
    assert await reload(files) == [False] * 7 + [True]
    assert files.current == 333
