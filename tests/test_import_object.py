import sys

import pytest

from landscape.errors import LandscapeError
from landscape.import_object import import_object


@pytest.fixture(autouse=True)
def clean_import_state(monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def refused(spec):
    with pytest.raises(LandscapeError) as caught:
        import_object(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_module_in_a_package_and_dotted_names():
    import os.path

    assert import_object("os.path:join") is os.path.join
    assert import_object("collections:OrderedDict.fromkeys").__name__ == "fromkeys"


def test_module_in_the_current_folder(tmp_path):
    (tmp_path / "my_landscape_module.py").write_text("def make(): return 5")
    assert import_object("my_landscape_module:make")() == 5


def test_file_with_a_neighbour_is_imported_once(tmp_path):
    folder = tmp_path / "deep"
    folder.mkdir()
    (folder / "neighbour_of_mine.py").write_text("VALUE = 7")
    (folder / "file.py").write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\nfrom neighbour_of_mine import VALUE\n"
        "@dataclass\nclass Thing:\n    value: int = VALUE\n"
    )
    made = import_object(f"{folder / 'file.py'}:Thing")
    assert made().value == 7
    assert import_object("deep/file.py:Thing") is made


def test_refusals_say_what_is_wrong(tmp_path):
    for spec in ("", "os", "os:", ":join", "os:not a name", "file.py"):
        assert "expected package.module:name or file.py:name" in refused(spec)
    assert "no module 'no_such_module_here'" in refused("no_such_module_here:x")
    assert "no module 'os.nothing'" in refused("os.nothing:x")
    assert "no such Python file: none.py" in refused("none.py:x")
    assert "did you mean join" in refused("os.path:joim")
    (tmp_path / "broken.py").write_text("import no_such_module_here")
    assert "ModuleNotFoundError: No module named 'no_such_module_here'" in refused("broken.py:x")
    assert "importing broken failed" in refused("broken:x")
    (tmp_path / "raises.py").write_text("raise ValueError('two\\nlines')")
    assert "ValueError: two lines" in refused("raises.py:x")
    (tmp_path / "exits.py").write_text("import sys; sys.exit(3)")
    assert "SystemExit: 3" in refused("exits.py:x")
