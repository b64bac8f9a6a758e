"""Raw captures: every byte comes back, also after a kill, and an import of the parts is an import of the whole."""

from __future__ import annotations

import gzip

import pytest

from tercel.errors import ConfigError, StorageError
from tercel.store.capture import CaptureOptions, CaptureWriter
from tercel.store.imports import import_capture

S = 1_000_000_000
START = 1_700_000_000 * S


def text_of(files) -> bytes:
    return b"".join(gzip.decompress(path.read_bytes()) for path in files)


def test_lines_are_the_messages_with_their_times(tmp_path):
    writer = CaptureWriter(tmp_path, "BTCUSDT")
    writer.write(START, b'{"a":1}')
    writer.write(START + 5, memoryview(b'{"b":\r\n 2}'))
    writer.close()
    assert [path.name for path in writer.files] == ["BTCUSDT-20231114T221320Z.gz"]
    assert text_of(writer.files) == b'%d {"a":1}\n%d {"b":   2}\n' % (START, START + 5)
    assert writer.n_messages == 2


def test_what_was_flushed_survives_without_an_end(tmp_path):
    writer = CaptureWriter(tmp_path, "x", CaptureOptions(flush_s=1))
    for k in range(5):
        writer.write(START + k * S // 2, b"%d" % k)
    # Nothing is closed: this is what a killed process leaves.
    assert text_of(writer.files).splitlines() == [b"%d %d" % (START + k * S // 2, k) for k in range(3)]


def test_files_are_rotated_and_never_written_over(tmp_path):
    options = CaptureOptions(flush_s=1, rotate_s=2)
    lines = [b"%d m%d\n" % (START + k * S, k) for k in range(9)]
    for _ in range(2):
        writer = CaptureWriter(tmp_path, "x", options)
        for k in range(9):
            writer.write(START + k * S, b"m%d" % k)
        writer.close()
        assert len(writer.files) > 2
        assert text_of(sorted(writer.files)) == b"".join(lines)
    assert text_of(sorted(tmp_path.iterdir())).count(b"\n") == 18


def test_a_public_capture_written_anew_imports_to_the_same_rows(data_dir, tmp_path):
    source = data_dir / "binance" / "spot_btcusdt_20240808.gz"
    writer = CaptureWriter(tmp_path / "parts", "BTCUSDT", CaptureOptions(rotate_mb=2.0))
    for line in gzip.decompress(source.read_bytes()).splitlines():
        stamp, _, body = line.partition(b" ")
        writer.write(int(stamp), body)
    writer.close()
    assert len(writer.files) > 2
    joined = tmp_path / "joined.gz"
    joined.write_bytes(b"".join(path.read_bytes() for path in sorted(writer.files)))
    again = import_capture(joined, tmp_path / "again.tape")
    whole = import_capture(source, tmp_path / "whole.tape")
    assert again.meta.rows_sha256 == whole.meta.rows_sha256


def test_mistakes_are_told(tmp_path):
    with pytest.raises(ConfigError, match="flush_s must be above 0"):
        CaptureOptions(flush_s=0)
    with pytest.raises(ConfigError, match="name must be"):
        CaptureWriter(tmp_path, "a/b")
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file"):
        CaptureWriter(tmp_path / "file", "x")
