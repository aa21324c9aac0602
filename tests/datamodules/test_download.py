import hashlib
import http.server
import threading
from functools import partial

import pytest

from src.datamodules.download import fetch, without_downloads


class Handler(http.server.SimpleHTTPRequestHandler):
    requests: list
    agents: list = []

    def do_GET(self):
        self.requests.append(self.path)
        self.agents.append(self.headers["User-Agent"])
        super().do_GET()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def site(tmp_path):
    """A server of the folder `site`: its address, and the paths that were asked for."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "a.gz").write_bytes(b"alpha")
    (tmp_path / "site" / "b.gz").write_bytes(b"beta" * 100_000)
    handler = type("Counting", (Handler,), {"requests": []})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=tmp_path / "site"))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", handler.requests
    server.shutdown()
    thread.join()
    server.server_close()


def md5(content):
    return hashlib.md5(content).hexdigest()


def test_missing_files_are_fetched(site, tmp_path):
    address, _ = site
    files = {"a.gz": (address + "a.gz", md5(b"alpha")), "b.gz": (address + "b.gz", md5(b"beta" * 100_000))}
    paths = fetch(tmp_path / "data" / "set", files)
    assert paths["a.gz"] == tmp_path / "data" / "set" / "a.gz"
    assert [path.read_bytes() for path in paths.values()] == [b"alpha", b"beta" * 100_000]


def test_a_download_bears_a_name_of_its_own(site, tmp_path):
    # Some hosts refuse Python-urllib.
    address, _ = site
    Handler.agents.clear()
    fetch(tmp_path / "data", {"a.gz": (address + "a.gz", md5(b"alpha"))})
    assert Handler.agents == ["fastlight"]


def test_a_file_that_is_there_is_taken_as_it_is(site, tmp_path):
    address, requests = site
    (tmp_path / "a.gz").write_bytes(b"mine")
    fetch(tmp_path, {"a.gz": (address + "a.gz", md5(b"alpha"))})
    assert (tmp_path / "a.gz").read_bytes() == b"mine"
    assert requests == []


def test_only_what_is_missing_is_fetched(site, tmp_path):
    address, requests = site
    (tmp_path / "a.gz").write_bytes(b"mine")
    fetch(tmp_path, {"a.gz": (address + "a.gz", ""), "b.gz": (address + "b.gz", md5(b"beta" * 100_000))})
    assert requests == ["/b.gz"]


def test_a_complete_set_needs_no_right_to_write(tmp_path):
    (tmp_path / "a.gz").write_bytes(b"mine")
    fetch(tmp_path, {"a.gz": ("http://127.0.0.1:9/", "")})
    assert [path.name for path in tmp_path.iterdir()] == ["a.gz"]


def test_several_at_once_fetch_a_file_once(site, tmp_path):
    address, requests = site
    arguments = (tmp_path / "data", {"b.gz": (address + "b.gz", md5(b"beta" * 100_000))})
    threads = [threading.Thread(target=fetch, args=arguments) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert requests == ["/b.gz"]


def test_where_no_terminal_is_a_line_says_what_is_fetched(site, tmp_path, capsys):
    address, _ = site
    fetch(tmp_path, {"a.gz": (address + "a.gz", md5(b"alpha"))})
    assert capsys.readouterr().out == f"fetching {address}a.gz\n"


def test_a_wrong_checksum_is_refused_and_nothing_is_left(site, tmp_path):
    address, _ = site
    with pytest.raises(
        ValueError, match=f"a.gz sent 5 bytes with md5 {md5(b'alpha')}, but the published file has 0123; try again"
    ):
        fetch(tmp_path / "data", {"a.gz": (address + "a.gz", "0123")})
    assert not list((tmp_path / "data").glob("a.gz*"))


def test_a_file_missing_at_the_address_is_told(site, tmp_path):
    address, _ = site
    with pytest.raises(FileNotFoundError, match=r"lacks c.gz, and the download failed: HTTP Error 404"):
        fetch(tmp_path / "data", {"c.gz": (address + "c.gz", "")})


def test_without_a_network_the_error_says_which_files_to_put_where(tmp_path):
    files = {name: (f"http://127.0.0.1:9/set/{name}", "") for name in ("a.gz", "b.gz", "c.gz")}
    (tmp_path / "b.gz").touch()
    with pytest.raises(FileNotFoundError) as raised:
        fetch(tmp_path, files)
    first, second = str(raised.value).split("\n")
    assert first.startswith(f"{tmp_path} lacks a.gz, c.gz, and the download failed: ")
    assert second == "put these files there yourself, from http://127.0.0.1:9/set/"


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileNotFoundError, match=r"lacks a.gz, and the download failed:.*file"):
        fetch(tmp_path / "file" / "set", {"a.gz": ("http://127.0.0.1:9/a.gz", "")})


@pytest.mark.parametrize("name", ["../a.csv", "/tmp/a.csv", "x/../../a.csv", ".."])
def test_files_of_a_set_stay_in_its_folder(tmp_path, name):
    with pytest.raises(ValueError, match=r"must be names in one folder"):
        fetch(tmp_path / "set", {name: ("http://127.0.0.1:9/a.csv", "")})
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_fetched_where_a_config_from_elsewhere_names_the_address(tmp_path):
    refused = pytest.raises(FileNotFoundError, match=r"set lacks files of the data set, and nothing is fetched here")
    with refused, without_downloads():
        fetch(tmp_path / "set", {"a.csv": ("http://127.0.0.1:9/a.csv", "")})
    assert list(tmp_path.iterdir()) == []
