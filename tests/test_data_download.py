"""MVTec AD and VisA: downloads, tried on small archives that a local server hands out."""

import functools
import hashlib
import http.server
import io
import socket
import tarfile
import threading

import numpy as np
import pooch
import pytest
from PIL import Image

from helpers import data, downloads


def png(value, size=(40, 40), box=None):
    """Bytes of a grey PNG, with a brighter box if asked for."""
    pixels = np.full(size, value, np.uint8)
    if box is not None:
        pixels[box] = value + 2
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


BOX = (slice(8, 16), slice(20, 28))
MVTEC = {
    "readme.txt": b"small stand-in",
    **{f"bottle/train/good/{i:03d}.png": png(100 + i) for i in range(4)},
    "bottle/test/good/000.png": png(110),
    "bottle/test/broken/000.png": png(90),
    "bottle/ground_truth/broken/000_mask.png": png(0, box=BOX),
}
VISA = {
    "split_csv/1cls.csv": b"object,split,label,image,mask\n"
    b"candle,train,normal,candle/Data/Images/Normal/0.png,\n"
    b"candle,train,normal,candle/Data/Images/Normal/1.png,\n"
    b"candle,test,normal,candle/Data/Images/Normal/2.png,\n"
    b"candle,test,anomaly,candle/Data/Images/Anomaly/0.png,candle/Data/Masks/Anomaly/0.png\n"
    b"pcb1,train,normal,pcb1/Data/Images/Normal/0.png,\n",
    **{f"candle/Data/Images/Normal/{i}.png": png(100 + i) for i in range(3)},
    "candle/Data/Images/Anomaly/0.png": png(90),
}


def visa_mask():
    """VisA marks kinds of defect with different small values."""
    pixels = np.zeros((40, 40), np.uint8)
    pixels[BOX], pixels[30:34, 2:6] = 1, 3
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


VISA["candle/Data/Masks/Anomaly/0.png"] = visa_mask()


def tar(members, mode="w:xz", extra=()):
    """Bytes of an archive; `extra` holds ready TarInfo members."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for info in extra:
            archive.addfile(info)
    return file.getvalue()


class _Handler(http.server.SimpleHTTPRequestHandler):
    def do_GET(self):
        if "cut" in self.path:  # promise more than is sent
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            self.wfile.write(b"x" * 1000)
        else:
            super().do_GET()

    def log_message(self, *_):
        pass


@pytest.fixture
def serve(tmp_path, monkeypatch):
    """Serve an archive as a dataset's download; returns the cache folder."""
    public, cache = tmp_path / "public", tmp_path / "cache"
    public.mkdir()
    handler = functools.partial(_Handler, directory=str(public))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv(downloads.CACHE_VARIABLE, str(cache))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr(pooch.get_logger(), "disabled", True)

    def put(dataset, content, *, sha256=None, name="archive.tar"):
        (public / name).write_bytes(content)
        archive = downloads.Archive(
            url=f"http://127.0.0.1:{server.server_port}/{name}",
            sha256=sha256 or hashlib.sha256(content).hexdigest(),
            page="https://example.org/dataset",
        )
        monkeypatch.setitem(downloads.ARCHIVES, dataset, archive)
        return cache

    yield put
    server.shutdown()
    server.server_close()
    thread.join()


def left_behind(cache):
    return sorted(p.name for p in cache.iterdir()) if cache.exists() else []


def test_mvtec_is_downloaded_once_and_read(serve, monkeypatch, capsys):
    cache = serve("mvtec", tar(MVTEC))
    train, test = data.load("mvtec", "bottle", image_size=40)
    assert (len(train), len(test)) == (4, 2)
    assert test.types == ("good", "broken")
    assert test.has_mask.all()
    assert np.argwhere(test.masks[1]).min(axis=0).tolist() == [8, 20]
    assert train.name == "mvtec/bottle"
    assert "CC BY-NC-SA" in train.license
    assert left_behind(cache) == ["mvtec"], "neither the archive nor a temporary file stays"
    assert "%" in capsys.readouterr().err, "a progress bar was shown"

    gone = downloads.Archive(url="http://127.0.0.1:9/gone.tar", sha256="0" * 64, page="")
    monkeypatch.setitem(downloads.ARCHIVES, "mvtec", gone)
    again, _ = data.load("mvtec", "bottle", image_size=40)
    assert again.fingerprint == train.fingerprint


def test_an_archive_with_one_folder_around_everything_is_read_too(serve):
    serve("mvtec", tar({f"mvtec_ad/{name}": content for name, content in MVTEC.items()}))
    assert len(data.load("mvtec", "bottle", image_size=40)[0]) == 4


def test_visa_follows_its_split_table_and_its_masks_become_binary(serve):
    serve("visa", tar(VISA, mode="w"))
    train, test = data.load("visa", "candle", image_size=40)
    assert train.paths == ("candle/Data/Images/Normal/0.png", "candle/Data/Images/Normal/1.png")
    assert test.labels.tolist() == [0, 1]
    assert test.types == ("good", "anomaly")
    assert test.masks[1].sum() == 64 + 16, "both values count as anomalous"
    assert "CC BY 4.0" in train.license


def test_root_uses_a_copy_and_never_downloads(tmp_path, monkeypatch):
    for name, content in {**MVTEC, **VISA}.items():
        file = tmp_path / "copy" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    monkeypatch.setattr(downloads, "_download", lambda *_: pytest.fail("must not download"))
    root = tmp_path / "copy"
    assert len(data.load("mvtec", "bottle", root=root, image_size=40)[0]) == 4
    assert len(data.load("visa", "candle", root=root, image_size=40)[0]) == 2
    with pytest.raises(FileNotFoundError, match=r"holds no folder cable \(found: bottle, candle"):
        data.load("mvtec", "cable", root=root)
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        data.load("mvtec", root=tmp_path / "nowhere")
    (root / "candle/Data/Images/Normal/2.png").unlink()
    with pytest.raises(
        FileNotFoundError, match=r"2\.png is named in .*1cls\.csv, but is not there"
    ):
        data.load("visa", "candle", root=root)
    (root / "split_csv/1cls.csv").unlink()
    with pytest.raises(FileNotFoundError, match=r"1cls\.csv is missing"):
        data.load("visa", "candle", root=root)


def test_a_wrong_checksum_is_refused_and_nothing_stays(serve):
    cache = serve("mvtec", tar(MVTEC), sha256="ab" * 32)
    with pytest.raises(ValueError, match=r"wrong checksum.*https://example\.org/dataset.*root="):
        data.load("mvtec")
    assert left_behind(cache) == []


def test_a_download_that_breaks_off_leaves_no_half_file(serve):
    cache = serve("mvtec", b"", sha256="ab" * 32, name="cut.tar")
    with pytest.raises((ConnectionError, ValueError), match=r"cut\.tar.*root="):
        data.load("mvtec")
    assert left_behind(cache) == []


def test_a_missing_page_is_reported_with_its_status(serve, monkeypatch):
    serve("mvtec", b"")
    source = downloads.ARCHIVES["mvtec"]
    moved = downloads.Archive(url=source.url + ".moved", sha256=source.sha256, page=source.page)
    monkeypatch.setitem(downloads.ARCHIVES, "mvtec", moved)
    with pytest.raises(ConnectionError, match=r"it answers 404.*example\.org.*root="):
        data.load("mvtec")


def test_offline_says_what_to_do(serve, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    cache = serve("visa", b"")
    closed = downloads.Archive(
        url=f"http://127.0.0.1:{port}/x.tar", sha256="0" * 64, page="https://p"
    )
    monkeypatch.setitem(downloads.ARCHIVES, "visa", closed)
    with pytest.raises(ConnectionError, match=r"visa is not on this machine.*no connection.*root="):
        data.load("visa")
    assert left_behind(cache) == []


def link(name, target, kind):
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("members", "extra"),
    [
        ({"../escaped.txt": b"x"}, []),
        ({"bottle/../../escaped.txt": b"x"}, []),
        ({"/escaped.txt": b"x"}, []),
        ({}, [link("bottle/escaped.txt", "../../../escaped.txt", tarfile.SYMTYPE)]),
        ({}, [link("bottle/escaped.txt", "/etc/hostname", tarfile.LNKTYPE)]),
        ({}, [link("bottle/pipe", "", tarfile.FIFOTYPE)]),
    ],
    ids=["parent", "hidden parent", "absolute", "symbolic link", "hard link", "device"],
)
def test_an_archive_that_escapes_its_folder_is_refused(serve, tmp_path, members, extra):
    cache = serve("mvtec", tar({**MVTEC, **members}, extra=extra))
    with pytest.raises(ValueError, match=r"was not unpacked .*nothing of it was kept"):
        data.load("mvtec")
    assert left_behind(cache) == ["archive.tar"], "no half dataset"
    assert not list(tmp_path.rglob("escaped.txt"))


def test_a_truncated_archive_leaves_no_half_dataset(serve):
    whole = tar(MVTEC, mode="w")
    cache = serve("mvtec", whole[: len(whole) // 2 - 100])
    with pytest.raises(ValueError, match="was not unpacked"):
        data.load("mvtec")
    assert left_behind(cache) == ["archive.tar"]


def test_an_interrupted_unpacking_leaves_no_half_dataset(serve, monkeypatch):
    cache = serve("mvtec", tar(MVTEC))

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "extractall", full)
    with pytest.raises(OSError, match="No space left"):
        data.load("mvtec")
    assert left_behind(cache) == ["archive.tar"]


def test_another_archive_is_not_taken_for_the_dataset(serve):
    serve("visa", tar(MVTEC))
    with pytest.raises(ValueError, match="holds no folder candle"):
        data.load("visa")


def test_the_real_addresses_and_checksums_are_well_formed():
    for archive in downloads.ARCHIVES.values():
        assert archive.url.startswith("https://")
        assert len(bytes.fromhex(archive.sha256)) == 32
        assert archive.page.startswith("https://")
