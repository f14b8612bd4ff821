import os
import stat

import pytest

from gooddrag.files import atomic_dir, atomic_file, check_writable


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_new_folder_appears_whole(tmp_path):
    out = tmp_path / "a" / "b"
    with atomic_dir(out) as temporary:
        (temporary / "one.txt").write_text("1")
        assert not out.exists()
        assert temporary.parent == out.parent
    assert tree(tmp_path) == {"a/b/one.txt": "1"}
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(out.stat().st_mode) == 0o777 & ~umask


def test_existing_folder_keeps_what_is_not_replaced(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("kept.txt", "replaced.txt", "sub/kept.txt"):
        (tmp_path / name).write_text("old")
    with atomic_dir(tmp_path) as temporary:
        (temporary / "replaced.txt").write_text("new")
        (temporary / "sub").mkdir()
        (temporary / "sub" / "added.txt").write_text("new")
    assert tree(tmp_path) == {
        "kept.txt": "old",
        "replaced.txt": "new",
        "sub/added.txt": "new",
        "sub/kept.txt": "old",
    }
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("exists", [False, True])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_failure_leaves_nothing(tmp_path, exists, error):
    out = tmp_path / "out"
    if exists:
        out.mkdir()
        (out / "old.txt").write_text("old")
    before = tree(tmp_path)
    with pytest.raises(error), atomic_dir(out) as temporary:
        (temporary / "half.txt").write_text("half")
        raise error
    assert tree(tmp_path) == before
    assert out.exists() == exists


def test_relative_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with atomic_dir(".") as temporary:
        (temporary / "one.txt").write_text("1")
    with atomic_file("two.txt") as temporary:
        temporary.write_text("2")
    assert tree(tmp_path) == {"one.txt": "1", "two.txt": "2"}


def test_file_appears_whole(tmp_path):
    path = tmp_path / "a" / "image.png"
    with atomic_file(path) as temporary:
        assert temporary.suffix == ".png"
        temporary.write_text("new")
        assert not path.exists()
    with pytest.raises(RuntimeError), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError
    assert tree(tmp_path) == {"a/image.png": "new"}


@pytest.mark.parametrize("writer", [atomic_dir, atomic_file])
@pytest.mark.parametrize("name", ["file.txt/below", "null\0byte", "n" * 300])
def test_unwritable_paths_are_value_errors(tmp_path, writer, name):
    (tmp_path / "file.txt").write_text("a file")
    with pytest.raises(ValueError, match="^results: .*expected"), writer(tmp_path / name, argument="results"):
        raise AssertionError("the block must not run: the work would be lost")
    assert tree(tmp_path) == {"file.txt": "a file"}


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ValueError, match="cannot be written"), atomic_dir(tmp_path / "out"):
        pass


def test_wrong_kind(tmp_path):
    (tmp_path / "file.txt").write_text("")
    with pytest.raises(ValueError, match="^output: .*it is a file"), atomic_dir(tmp_path / "file.txt"):
        pass
    with pytest.raises(ValueError, match="^output: .*it is a folder"), atomic_file(tmp_path):
        pass


def test_a_folder_in_the_way_of_a_file_is_found_before_anything_moves(tmp_path):
    (tmp_path / "b").mkdir()
    (tmp_path / "a").write_text("old")
    with (
        pytest.raises(ValueError, match=r"^output: .* cannot be written \(b in it is a folder\)"),
        atomic_dir(tmp_path) as temporary,
    ):
        for name in "ab":
            (temporary / name).write_text("new")
    assert tree(tmp_path) == {"a": "old"} and sorted(p.name for p in tmp_path.iterdir()) == ["a", "b"]


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="needs /proc")
@pytest.mark.parametrize("folder", ["/proc/new", "/proc/self/new/below"])
def test_being_allowed_is_not_enough(folder):
    with pytest.raises(ValueError, match=f"^out: '{folder}' cannot be written"):
        check_writable(folder, "out")


def test_what_may_not_be_replaced(tmp_path):
    (tmp_path / "given.png").touch()
    (tmp_path / "made.png").mkdir()
    check_writable(tmp_path, files=["other.png"], inputs=[tmp_path / "given.png"])
    with pytest.raises(ValueError, match="^output: .* holds given.png, which is given and would be replaced"):
        check_writable(tmp_path, files=["given.png"], inputs=[tmp_path / "made.png" / ".." / "given.png"])
    with pytest.raises(ValueError, match="^output: .*made.png is a folder; expected a file"):
        check_writable(tmp_path, files=["made.png"])
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(ValueError, match="^output: .*link is a link to nothing; expected a folder"):
        check_writable(tmp_path / "link")
