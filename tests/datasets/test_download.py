"""Downloads from a server on this machine: whole files, wrong ones, ones that die half way, none at all."""

import hashlib
import http.server
import threading
from pathlib import Path

import pooch
import pytest

from siamese_nn.datasets import download
from siamese_nn.datasets.download import download_lfw_a, download_pairs

pytestmark = pytest.mark.once

ZIP, TAR = b"PK the zip" * 5000, b"\x1f\x8b the tar.gz" * 5000


@pytest.fixture
def server():
    """Serves `server.files`: bytes, or (bytes, how many of them come before the line is cut)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append(self.path)
            content = self.server.files.get(self.path)
            if content is None:
                self.send_error(404)
                return
            content, sent = content if isinstance(content, tuple) else (content, len(content))
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:sent])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files, server.asked = {}, []
        server.url = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def sources(server, monkeypatch):
    """Points both tables at the server, and takes the waiting out of the retries."""

    def remote(name, content, algorithm="sha256"):
        server.files[f"/{name}"] = content
        digest = hashlib.new(algorithm, content).hexdigest()
        return download._Remote(name, f"{server.url}/{name}", f"http://page/{name}", f"{algorithm}:{digest}")

    lfw_a = (remote("lfw2.zip", ZIP), remote("lfwa.tar.gz", TAR, "sha1"))
    pairs = tuple(
        remote(name, name.encode()) for name in ("pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt")
    )
    monkeypatch.setattr(download, "_LFW_A", lfw_a)
    monkeypatch.setattr(download, "_PAIRS", pairs)
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: None)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()} if folder.exists() else {}


def test_the_zip_is_fetched_once(server, sources, tmp_path):
    assert download_lfw_a(tmp_path / "new" / "data") == tmp_path / "new" / "data" / "lfw2.zip"
    assert download_lfw_a(tmp_path / "new" / "data").read_bytes() == ZIP
    assert server.asked == ["/lfw2.zip"]
    assert contents(tmp_path / "new" / "data") == {"lfw2.zip": ZIP}


def test_pair_files_are_fetched_once(server, sources, tmp_path):
    (tmp_path / "pairsDevTest.txt").write_bytes(b"pairsDevTest.txt")
    for _ in range(2):
        names = [path.name for path in download_pairs(str(tmp_path))]
        assert names == ["pairsDevTrain.txt", "pairsDevTest.txt", "pairs.txt"]
    assert server.asked == ["/pairsDevTrain.txt", "/pairs.txt"]
    assert contents(tmp_path) == {name: name.encode() for name in names}


@pytest.mark.parametrize("trouble", [None, b"<html>quota exceeded</html>", (ZIP, 1000), (ZIP, 0)])
def test_second_source_after_the_first_has_failed_four_times(server, sources, tmp_path, trouble):
    server.files["/lfw2.zip"] = trouble
    assert download_lfw_a(tmp_path) == tmp_path / "lfwa.tar.gz"
    assert server.asked == ["/lfw2.zip"] * 4 + ["/lfwa.tar.gz"]
    assert contents(tmp_path) == {"lfwa.tar.gz": TAR}
    assert download_lfw_a(tmp_path) == tmp_path / "lfwa.tar.gz"  # and the zip isn't tried again
    assert len(server.asked) == 5


def test_a_retry_helps_when_the_line_breaks_once(server, sources, tmp_path, monkeypatch):
    server.files["/lfw2.zip"] = (ZIP, 20000)
    monkeypatch.setattr(pooch.core.time, "sleep", lambda _: server.files.update({"/lfw2.zip": ZIP}))
    assert download_lfw_a(tmp_path).read_bytes() == ZIP
    assert server.asked == ["/lfw2.zip"] * 2


def test_wrong_file_is_replaced_only_by_a_whole_one(server, sources, tmp_path):
    (tmp_path / "lfw2.zip").write_bytes(b"half")
    server.files["/lfw2.zip"], server.files["/lfwa.tar.gz"] = (ZIP, 1000), None
    with pytest.raises(ConnectionError):
        download_lfw_a(tmp_path)
    assert contents(tmp_path) == {"lfw2.zip": b"half"}
    server.files["/lfw2.zip"] = ZIP
    download_lfw_a(tmp_path)
    assert contents(tmp_path) == {"lfw2.zip": ZIP}


def test_without_a_network_one_error_says_what_to_do_by_hand(server, sources, tmp_path):
    server.shutdown()
    server.server_close()
    with pytest.raises(ConnectionError) as raised:
        download_lfw_a(tmp_path)
    for remote in download._LFW_A:
        for part in (remote.name, remote.page, remote.known_hash, str(tmp_path / remote.name)):
            assert part in str(raised.value)
    assert raised.value.__cause__ is not None
    with pytest.raises(ConnectionError) as raised:
        download_pairs(tmp_path)
    for remote in download._PAIRS:
        for part in (remote.page, remote.known_hash, str(tmp_path / remote.name)):
            assert part in str(raised.value)
    assert raised.value.__cause__ is not None
    assert contents(tmp_path) == {}


def test_only_the_missing_pair_files_are_asked_for(server, sources, tmp_path):
    server.files["/pairs.txt"] = b"other bytes"
    with pytest.raises(ConnectionError, match=r"^pairs\.txt could not be fetched"):
        download_pairs(tmp_path)
    assert sorted(contents(tmp_path)) == ["pairsDevTest.txt", "pairsDevTrain.txt"]


def test_pinned_sources():
    assert [remote.known_hash.partition(":")[0] for remote in download._LFW_A] == ["sha256", "sha1"]
    for remote in (*download._LFW_A, *download._PAIRS):
        algorithm, _, digest = remote.known_hash.partition(":")
        assert len(digest) == hashlib.new(algorithm).digest_size * 2
        assert remote.url.startswith("https://") and remote.page.startswith("https://")


def test_a_file_in_the_folders_place_is_named(server, sources, tmp_path):
    (tmp_path / "file").touch()
    for fetch in (download_lfw_a, download_pairs):
        with pytest.raises(
            FileExistsError, match=r"`output_dir` must be a folder.*data, and .*file is a file"
        ):
            fetch(tmp_path / "file" / "data")
    assert not server.asked
