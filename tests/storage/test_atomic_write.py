import hashlib
import os
import signal
import stat
import subprocess
import sys

import pytest

from landscape.errors import LandscapeError
from landscape.storage.atomic_write import file_sha256, remove_temporaries, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_writes_replaces_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "new" / "file.bin"
    write_atomically(path, lambda file: file.write(b"first"))
    write_atomically(path, lambda file: file.write(b"second"))
    assert path.read_bytes() == b"second"
    assert names(path.parent) == ["file.bin"]
    assert file_sha256(path) == hashlib.sha256(b"second").hexdigest()


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt()])
def test_other_failures_pass_through_and_the_old_file_stays(tmp_path, error):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")

    def write(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)):
        write_atomically(path, write)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits of POSIX")
def test_full_disk_is_one_line_and_the_old_file_stays(tmp_path):
    import resource

    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(LandscapeError, match=r"cannot write .*file\.bin: File too large") as caught:
            write_atomically(path, lambda file: file.write(bytes(100_000)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["file.bin"]


def test_an_os_error_that_a_library_wrapped_counts_as_refusal(tmp_path):
    def write(file):
        try:
            raise OSError(28, "No space left on device")
        except OSError as error:
            raise RuntimeError("enforce fail at inline_container.cc") from error

    with pytest.raises(LandscapeError, match="No space left on device"):
        write_atomically(tmp_path / "file.bin", write)
    assert names(tmp_path) == []


def test_impossible_places_are_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(LandscapeError, match=r"Not a directory|exists"):
        write_atomically(tmp_path / "file" / "below.bin", lambda file: file.write(b"x"))
    with pytest.raises(LandscapeError, match="a folder is there"):
        write_atomically(tmp_path, lambda file: file.write(b"x"))
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may write anywhere
    with pytest.raises(LandscapeError, match="write-protected"):
        write_atomically(tmp_path / "file", lambda file: file.write(b"x"))
    assert (tmp_path / "file").read_bytes() == b"old"
    with pytest.raises(LandscapeError, match="cannot read"):
        file_sha256(tmp_path / "missing")


@pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")
def test_modes_and_links_are_kept(tmp_path):
    target = tmp_path / "target.bin"
    write_atomically(target, lambda file: file.write(b"1"))
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(target.stat().st_mode) == 0o666 & ~umask
    target.chmod(0o640)
    link = tmp_path / "link.bin"
    link.symlink_to(target)
    write_atomically(link, lambda file: file.write(b"2"))
    assert link.is_symlink()
    assert target.read_bytes() == b"2"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


KILLED = """
import os, pathlib, signal, sys
from landscape.storage.atomic_write import write_atomically

def write(file):
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)

write_atomically(pathlib.Path(sys.argv[1]), write)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_what_a_killed_write_left_goes_with_the_next_and_what_is_being_written_stays(tmp_path):
    path = tmp_path / "report.html"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert killed.returncode == -signal.SIGKILL
    (left,) = names(tmp_path)
    (tmp_path / ".other.html.0123456789ab.tmp").write_bytes(b"of another file")

    def write(file):
        file.write(b"first")
        write_atomically(path, lambda other: other.write(b"second"))  # while this one is being written
        assert left not in names(tmp_path)

    write_atomically(path, write)
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == [".other.html.0123456789ab.tmp", "report.html"]


@pytest.mark.parametrize("name", ["ä" * 127, "x" + "雪" * 84, "xy" + "🏔" * 63, "n" * 255])
def test_names_of_255_bytes_in_any_script_have_valid_temporary_names(tmp_path, name):
    seen = []

    def write(file):
        (temporary,) = (entry.name for entry in tmp_path.iterdir() if entry.name.endswith(".tmp"))
        seen.append(temporary)
        file.write(b"whole")

    write_atomically(tmp_path / name, write)
    assert (tmp_path / name).read_bytes() == b"whole"
    assert len(seen[0].encode("utf-8")) <= 255  # and encode() refuses half a character
    (tmp_path / seen[0]).write_bytes(b"left by a kill")
    remove_temporaries(tmp_path / name)
    assert names(tmp_path) == [name]
