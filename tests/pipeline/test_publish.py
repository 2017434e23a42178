"""Published files are whole, checked when read, and not rewritten when equal."""

import hashlib
import os
from contextlib import suppress

import polars as pl
import pytest

from backtest.errors import StoreError
from pipeline import publish
from pipeline.publish import damaged, publish_bytes, publish_frame, read_frame, read_published


def test_a_file_and_its_hash(tmp_path):
    done = publish_bytes(tmp_path / "a" / "x.json", b"{}")
    assert done.written
    assert done.path.read_bytes() == b"{}"
    assert done.sha256 == hashlib.sha256(b"{}").hexdigest()
    sidecar = (tmp_path / "a" / "x.json.sha256").read_text()
    assert sidecar == f"{done.sha256}  x.json\n"
    assert read_published(done.path) == b"{}"
    assert sorted(os.listdir(tmp_path / "a")) == ["x.json", "x.json.sha256"]


def test_equal_content_is_not_rewritten(tmp_path):
    path = tmp_path / "x"
    publish_bytes(path, b"one")
    before = (path.stat().st_mtime_ns, path.stat().st_ino)
    assert not publish_bytes(path, b"one").written
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before
    assert publish_bytes(path, b"two").written
    assert read_published(path) == b"two"


@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_flipped_byte_is_found(tmp_path, at):
    path = publish_bytes(tmp_path / "x", b"abc").path
    content = bytearray(b"abc")
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=r"^E_CORRUPT: the file's SHA-256") as error:
        read_published(path)
    assert "\n" not in str(error.value)
    assert damaged(tmp_path) == [str(error.value)]
    publish_bytes(path, b"abc")
    assert damaged(tmp_path) == []


def test_a_flipped_byte_in_a_parquet_file_is_found(tmp_path):
    path = publish_frame(tmp_path / "x.parquet", pl.DataFrame({"a": [1.0, 2.0]})).path
    content = bytearray(path.read_bytes())
    content[12] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(StoreError, match=r"^E_CORRUPT"):
        read_frame(path)


@pytest.mark.parametrize("sidecar", [None, "", "\xff"])
def test_a_missing_or_broken_sidecar_is_refused_and_healed(tmp_path, sidecar):
    path = publish_bytes(tmp_path / "x", b"abc").path
    beside = tmp_path / "x.sha256"
    beside.unlink()
    if sidecar is not None:
        beside.write_bytes(sidecar.encode("latin-1"))
    with pytest.raises(StoreError, match=r"^E_CORRUPT: no SHA-256"):
        read_published(path)
    assert publish_bytes(path, b"abc").written
    assert read_published(path) == b"abc"


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(StoreError, match=r"^E_MISSING: "):
        read_published(tmp_path / "x")
    publish_bytes(tmp_path / "x", b"abc").path.unlink()
    assert len(damaged(tmp_path)) == 1


def test_a_frame_comes_back_and_is_not_rewritten(tmp_path):
    frame = pl.DataFrame({"symbol": ["A", "B"], "close": [1.5, None]})
    path = tmp_path / "x.parquet"
    assert publish_frame(path, frame).written
    assert read_frame(path).equals(frame)
    assert not publish_frame(path, frame).written


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_stood_there(tmp_path, monkeypatch, step):
    path = publish_bytes(tmp_path / "x", b"old").path

    def refuse(*_args):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(publish.os, step, refuse)
        with pytest.raises(StoreError, match=r"^E_STORE_FULL: .*No space left on device") as error:
            publish_bytes(path, b"new")
    assert "\n" not in str(error.value)
    assert read_published(path) == b"old"
    assert sorted(os.listdir(tmp_path)) == ["x", "x.sha256"]
    publish_bytes(path, b"new")
    assert read_published(path) == b"new"


def test_a_first_write_that_fails_leaves_nothing(tmp_path, monkeypatch):
    replace = os.replace

    def full(source, target):
        if not str(target).endswith(".sha256"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(publish.os, "replace", full)
    with pytest.raises(StoreError, match=r"^E_STORE_FULL"):
        publish_bytes(tmp_path / "x", b"new")
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_replaced_while_it_is_read_is_whole(tmp_path, monkeypatch):
    """The file is read, then it and its sidecar are replaced, then the sidecar is read."""
    path = publish_bytes(tmp_path / "x", b"0").path
    recorded, coming = publish._recorded, [b"1", b"2"]

    def late(asked):
        if coming:
            monkeypatch.setattr(publish, "_recorded", recorded)
            publish_bytes(path, coming.pop(0))
            monkeypatch.setattr(publish, "_recorded", late)
        return recorded(asked)

    monkeypatch.setattr(publish, "_recorded", late)
    assert read_published(path) in (b"0", b"1", b"2")
    assert coming == []
    path.write_bytes(b"other")
    with pytest.raises(StoreError, match=r"^E_CORRUPT"):
        read_published(path)


class Crash(BaseException):
    """The machine stops."""


@pytest.mark.parametrize("old", [None, b"old"])
@pytest.mark.parametrize("survives", [0, 1, 2, 3])
@pytest.mark.parametrize("before", [True, False])
def test_after_a_crash_at_any_step_one_content_is_whole(
    tmp_path, monkeypatch, old, survives, before
):
    """Stop before or after each rename: what a reader finds is the old content or the new one."""
    path = tmp_path / "x"
    if old is not None:
        publish_bytes(path, old)
    replace, done = os.replace, []

    def crash(source, target):
        if len(done) == survives and before:
            raise Crash
        replace(source, target)
        done.append(target)
        if len(done) == survives + 1:
            raise Crash

    with monkeypatch.context() as patched:
        patched.setattr(publish.os, "replace", crash)
        with suppress(Crash):
            publish_bytes(path, b"new")
    if old is None and not path.exists():
        with pytest.raises(StoreError, match=r"^E_MISSING"):
            read_published(path)
    else:
        assert read_published(path) in (old, b"new")
        path.write_bytes(b"other")
        with pytest.raises(StoreError, match=r"^E_CORRUPT"):
            read_published(path)
    publish_bytes(path, b"new")
    assert read_published(path) == b"new"
    digest = hashlib.sha256(b"new").hexdigest()
    assert (tmp_path / "x.sha256").read_text() == f"{digest}  x\n"
    assert not publish_bytes(path, b"new").written


def test_a_folder_that_is_a_file_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"^E_HOME: "):
        publish_bytes(tmp_path / "file" / "x", b"abc")
