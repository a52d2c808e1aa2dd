"""Hashes of data files: by content, remembered as long as nothing says that a file was written."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from longtail.pipeline.errors import LongtailError
from longtail.pipeline.files import data_hashes
from longtail.pipeline.files.data_hashes import DataHashes
from longtail.pipeline.files.set_memory import load_known
from longtail.stages.data.files.stamped_files import StampedFiles, stamp_of


@pytest.fixture
def settled(monkeypatch) -> None:
    """Files count as settled as soon as they are written."""
    monkeypatch.setattr(data_hashes, "SETTLED_NS", -1)


@pytest.fixture
def big(tmp_path, settled) -> Path:
    """A file large enough for its hash to be remembered."""
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(data_hashes.WORTH_KEEPING))
    os.utime(path, (1e9, 1e9))
    return path


@pytest.fixture
def reads(monkeypatch) -> list[str]:
    """Paths hashed so far."""
    paths: list[str] = []
    hash_it = data_hashes.content_hash
    monkeypatch.setattr(data_hashes, "content_hash", lambda path: paths.append(str(path)) or hash_it(path))
    return paths


def files_of(root: Path, by: str = "content") -> StampedFiles:
    """Every file directly below `root`, as a data set of them would list them."""
    files = StampedFiles(root, by)
    for path in sorted(root.iterdir()):
        files.add(path.name, stamp_of(path.stat()), before=f"{path.name}\t", after="\tclass")
    return files


@pytest.fixture
def many(tmp_path, settled) -> Path:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(300):
        (folder / f"{number:03d}.png").write_bytes(b"%d" % number)
    return folder


def rewrite(path: Path, content: bytes) -> None:
    """Other content of the same size under the same modification time."""
    before = path.stat()
    assert len(content) == before.st_size
    path.write_bytes(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


# -- a file alone -------------------------------------------------------------------------------------------


def test_large_file_is_read_once(big, reads, tmp_path):
    first = DataHashes(tmp_path / "memory.json").of([big, "text"])
    assert reads == [str(big)]
    assert DataHashes(tmp_path / "memory.json").of([big, "text"]) == first
    assert reads == [str(big)]
    assert DataHashes(tmp_path / "memory.json", verify=True).of([big, "text"]) == first
    assert reads == [str(big)] * 2


def test_changed_file_is_noticed(big, reads, tmp_path):
    hashes = DataHashes(tmp_path / "memory.json")
    first = hashes.of([big])
    rewrite(big, b"\1" + bytes(data_hashes.WORTH_KEEPING - 1))
    second = hashes.of([big])
    assert second != first and len(reads) == 2
    big.write_bytes(bytes(data_hashes.WORTH_KEEPING + 1))
    os.utime(big, (1e9, 1e9))
    assert hashes.of([big]) not in (first, second) and len(reads) == 3


def test_file_exchanged_for_another_is_noticed(big, reads, tmp_path):
    hashes, other = DataHashes(tmp_path / "memory.json"), tmp_path / "other.bin"
    first = hashes.of([big])
    other.write_bytes(b"\1" + bytes(data_hashes.WORTH_KEEPING - 1))
    os.utime(other, (1e9, 1e9))
    os.replace(other, big)
    assert hashes.of([big]) != first


def test_file_written_a_moment_ago_is_not_remembered(big, reads, tmp_path, monkeypatch):
    monkeypatch.setattr(data_hashes, "SETTLED_NS", 60 * 10**9)
    hashes = DataHashes(tmp_path / "memory.json")
    assert hashes.of([big]) == hashes.of([big])
    assert len(reads) == 2 and not (tmp_path / "memory.json").exists()


def test_small_file_is_not_remembered(tmp_path, settled):
    path = tmp_path / "small"
    path.write_bytes(b"x")
    DataHashes(tmp_path / "memory.json").of([path])
    assert not (tmp_path / "memory.json").exists()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "3", "\xff", '{"%s": [1048576, 1000000000000000000, "older form"]}',
     '{"%s": 3}', '{"%s": null}', '{"%s": [1]}', '{"%s": "abc"}', '{"%s": {}}'],
)  # fmt: skip
def test_damaged_memory_is_ignored_and_mended(big, reads, tmp_path, content):
    memory = tmp_path / "memory.json"
    expected = DataHashes(tmp_path / "other.json").of([big])
    memory.write_text(content.replace("%s", str(big)), encoding="latin-1")
    assert DataHashes(memory).of([big]) == expected
    assert DataHashes(memory).of([big]) == expected
    assert len(reads) == 2  # once for each memory


def test_memory_that_cannot_be_written_does_not_matter(big, many, tmp_path):
    (tmp_path / "file").touch()
    inside_a_file = tmp_path / "file" / "memory.json"
    sources = [big, files_of(many)]
    assert DataHashes(inside_a_file).of(sources) == DataHashes(tmp_path / "memory.json").of(sources)


def test_order_of_sources_counts(tmp_path):
    hashes = DataHashes(tmp_path / "memory.json")
    assert len({hashes.of(["a", "b"]), hashes.of(["b", "a"]), hashes.of(["ab"]), hashes.of([])}) == 4


# -- many files ---------------------------------------------------------------------------------------------


def test_many_files_are_read_once(many, reads, tmp_path):
    first = DataHashes(tmp_path / "memory.json").of([files_of(many)])
    assert len(reads) == 300
    assert DataHashes(tmp_path / "memory.json").of([files_of(many)]) == first
    assert len(reads) == 300
    assert DataHashes(tmp_path / "memory.json", verify=True).of([files_of(many)]) == first
    assert len(reads) == 600


def test_of_many_files_only_what_changed_or_came_is_read_again(many, reads, tmp_path):
    hashes = DataHashes(tmp_path / "memory.json")
    contents = {hashes.of([files_of(many)])}
    reads.clear()
    rewrite(many / "123.png", b"321")
    contents.add(hashes.of([files_of(many)]))
    (many / "new.png").write_bytes(b"new")
    contents.add(hashes.of([files_of(many)]))
    (many / "000.png").unlink()
    contents.add(hashes.of([files_of(many)]))
    assert len(contents) == 4
    assert reads == [str(many / "123.png"), str(many / "new.png")]


def test_identity_of_many_files_is_the_same_wherever_they_lie(many, tmp_path):
    many.rename(tmp_path / "there")
    there = DataHashes(tmp_path / "memory.json").look([files_of(tmp_path / "there")])
    (tmp_path / "there").rename(many)
    here = DataHashes(tmp_path / "another.json").look([files_of(many)])
    assert (here.content, here.by_sizes) == (there.content, there.by_sizes)
    assert here.content != here.by_sizes


def test_files_known_by_their_sizes_are_not_opened(many, reads, tmp_path):
    by_content = DataHashes(tmp_path / "memory.json").look([files_of(many)])
    reads.clear()
    by_sizes = DataHashes(tmp_path / "memory.json").look([files_of(many, "stat")])
    assert by_sizes.content == by_sizes.by_sizes == by_content.by_sizes and not reads


def test_files_known_by_their_sizes_are_not_verified_and_that_is_said(many, reads, tmp_path, caplog):
    DataHashes(tmp_path / "memory.json", verify=True).of([files_of(many, "stat")])
    assert reads == [] and f"{many}: not verified, since names and sizes identify" in caplog.text


def test_files_written_a_moment_ago_are_not_remembered(many, reads, tmp_path, monkeypatch):
    monkeypatch.setattr(data_hashes, "SETTLED_NS", 60 * 10**9)
    hashes = DataHashes(tmp_path / "memory.json")
    assert hashes.of([files_of(many)]) == hashes.of([files_of(many)])
    assert len(reads) == 600


def test_two_sets_below_one_root_do_not_forget_each_other(many, reads, tmp_path):
    every = files_of(many)
    one, other = StampedFiles(many), StampedFiles(many)
    for row, name in enumerate(every.names):
        (one if row % 2 else other).add(name, every.stamp(row))
    hashes = DataHashes(tmp_path / "memory.json")
    before = [hashes.of([part]) for part in (one, other)]
    assert [hashes.of([part]) for part in (one, other)] == before and len(reads) == 300


@pytest.mark.parametrize("damage", ["cut", "flip", "empty", "text", "header", "gone"])
def test_damaged_memory_of_many_files_is_rebuilt(many, reads, tmp_path, damage):
    hashes = DataHashes(tmp_path / "memory.json")
    expected = hashes.of([files_of(many)])
    (memory,) = (tmp_path / "memory").iterdir()
    whole = memory.read_bytes()
    middle = len(whole) // 2
    memory.write_bytes(
        {
            "cut": whole[:middle],
            "flip": whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :],
            "empty": b"",
            "text": b"no memory at all",
            "header": b"[]\n" + whole,
            "gone": whole,
        }[damage]
    )
    if damage == "gone":
        memory.unlink()
    assert hashes.of([files_of(many)]) == expected and len(reads) == 600
    assert memory.read_bytes() == whole


def test_memory_holds_names_that_are_not_text(tmp_path, settled, reads):
    folder = tmp_path / "named"
    folder.mkdir()
    for name in (b"new\nline", b"\xff\xfe", "ü ".encode()):
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(name)
    hashes = DataHashes(tmp_path / "memory.json")
    assert hashes.of([files_of(folder)]) == hashes.of([files_of(folder)]) and len(reads) == 3


def test_a_read_only_memory_is_not_written(many, big, tmp_path):
    DataHashes(tmp_path / "memory.json", read_only=True).of([big, files_of(many)])
    assert not (tmp_path / "memory.json").exists() and not (tmp_path / "memory").exists()


def test_what_is_hashed_stays_so_when_the_rest_is_interrupted(many, tmp_path, monkeypatch):
    hash_it = data_hashes.content_hash

    def interrupted(path):
        if path.endswith("150.png"):
            raise KeyboardInterrupt
        return hash_it(path)

    monkeypatch.setattr(data_hashes, "content_hash", interrupted)
    with pytest.raises(KeyboardInterrupt):
        DataHashes(tmp_path / "memory.json").of([files_of(many)])
    (memory,) = (tmp_path / "memory").iterdir()
    known = load_known(memory)
    assert "000.png" in known.names and "150.png" not in known.names


def test_writers_of_one_memory_leave_it_whole(many, reads, tmp_path):
    expected = DataHashes(tmp_path / "other.json").of([files_of(many)])
    results: list[str] = []

    def look() -> None:
        results.append(DataHashes(tmp_path / "memory.json", verify=True).of([files_of(many)]))

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    reads.clear()
    assert results == [expected] * 4
    assert DataHashes(tmp_path / "memory.json").of([files_of(many)]) == expected and not reads


# -- while they are read ------------------------------------------------------------------------------------


def test_a_change_is_refused_with_the_names_of_what_changed(many, big, tmp_path):
    look = DataHashes(tmp_path / "memory.json").look([big, files_of(many)])
    look.refuse_changes("training")
    rewrite(many / "007.png", b"8")
    (many / "123.png").unlink()
    rewrite(big, b"\1" + bytes(data_hashes.WORTH_KEEPING - 1))
    with pytest.raises(
        LongtailError, match=rf"^3 files of the data changed during training: {big}, .*007.png, .*123.png; "
    ):
        look.refuse_changes("training")


def test_files_put_back_are_read_again_once(many, tmp_path, caplog, monkeypatch):
    look = DataHashes(tmp_path / "memory.json").look([files_of(many)])
    stamps = look.stamps()
    (many / "007.png").write_bytes(b"8")
    (many / "007.png").write_bytes(b"7")
    with caplog.at_level("WARNING", "longtail"):
        look.refuse_changes("training")
    assert "1 file was" in caplog.text and look.stamps() != stamps
    caplog.clear()
    look.refuse_changes("training")
    assert not caplog.text


def test_of_files_known_by_their_sizes_the_time_tells_a_change(many, tmp_path):
    look = DataHashes(tmp_path / "memory.json").look([files_of(many, "stat")])
    look.refuse_changes("training")
    os.utime(many / "007.png", (1e9, 1e9))
    with pytest.raises(LongtailError, match=r"^1 file of .* during training: .*007\.png; "):
        look.refuse_changes("training")
