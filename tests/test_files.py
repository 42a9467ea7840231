import pytest

from siamese_nn.files import read_json, replacing, write_text


def test_a_failed_writer_leaves_the_old_file_and_no_rest(tmp_path):
    write_text(tmp_path / "deep" / "notes.txt", "old")
    with pytest.raises(RuntimeError), replacing(tmp_path / "deep" / "notes.txt") as partial:
        partial.write_text("half")
        raise RuntimeError
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["notes.txt"]
    assert (tmp_path / "deep" / "notes.txt").read_text() == "old"
    write_text(tmp_path / "deep" / "notes.txt", "new\n")
    assert (tmp_path / "deep" / "notes.txt").read_bytes() == b"new\n"


@pytest.mark.parametrize("text", ["", "{", "[" * 200_000, "{'a': 1}", "\udcff"])
def test_damaged_json_is_named(tmp_path, text):
    (tmp_path / "facts.json").write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ValueError, match=r"facts\.json is damaged .*Remove it"):
        read_json(tmp_path / "facts.json")
    write_text(tmp_path / "facts.json", '{"a": [1]}')
    assert read_json(tmp_path / "facts.json") == {"a": [1]}
