"""What is made of files is made anew once for each change, however many ask."""

import asyncio

from bridge.tls.reloading import ReloadableFiles, TlsError


def numbers(path):
    def load():
        text = path.read_text()
        if not text.isdecimal():
            raise TlsError(f"{path}: not a number")
        return int(text)

    return ReloadableFiles((str(path),), load, what="number")


async def ask(renewal, times=8):
    return sorted(await asyncio.gather(*(renewal.renew() for _ in range(times))))


async def test_many_who_ask_at_once_get_one_renewal(tmp_path):
    path = tmp_path / "number"
    path.write_text("1")
    renewal = numbers(path)
    assert await ask(renewal) == [False] * 8
    path.write_text("22")
    assert await ask(renewal) == [False] * 7 + [True]
    assert renewal.current == 22
    assert renewal.reloads == {("ok",): 1, ("failed",): 0}


async def test_a_file_gone_bad_is_told_once_and_the_old_stays(tmp_path, caplog):
    path = tmp_path / "number"
    path.write_text("1")
    renewal = numbers(path)
    path.write_text("rubbish")
    assert await ask(renewal) == [False] * 8
    assert renewal.current == 1
    assert renewal.reloads == {("ok",): 0, ("failed",): 1}
    assert [record.getMessage() for record in caplog.records] == [
        f"number can't be used, the old one stays: {path}: not a number"
    ]
    path.unlink()
    path.write_text("333")
    assert await ask(renewal) == [False] * 7 + [True]
    assert renewal.current == 333
