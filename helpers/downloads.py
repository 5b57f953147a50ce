"""MVTec AD and VisA: fetched once and checked, or read from a copy that the reader has."""

import csv
import os
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from helpers.folders import Entry, Split, existing, visible

CACHE_VARIABLE = "BOOK_DATA"


@dataclass(frozen=True)
class Archive:
    """Where a dataset is downloaded from.

    Attributes:
        url: address of a tar archive.
        sha256: its checksum, 64 hex digits.
        page: the official page, for a reader who downloads by hand.
    """

    url: str
    sha256: str
    page: str


# Addresses and checksums are those of anomalib, github.com/open-edge-platform/anomalib, at commit
# b7233686 (August 2026): src/anomalib/data/datamodules/image/mvtecad.py and visa.py. The address of
# MVTec AD moved in July 2026. They are UNTESTED HERE: the two archives were never downloaded while
# this book was written. What does not match its checksum is thrown away.
ARCHIVES = {
    "mvtec": Archive(
        url="https://www.mydrive.ch/shares/150996/b52ecdcbf521176e9db9c731f2304b27/"
        "download/420938113-1629960298/mvtec_anomaly_detection.tar.xz",
        sha256="cf4313b13603bec67abb49ca959488f7eedce2a9f7795ec54446c649ac98cd3d",
        page="https://www.mvtec.com/company/research/datasets/mvtec-ad",
    ),
    "visa": Archive(
        url="https://amazon-visual-anomaly.s3.us-west-2.amazonaws.com/VisA_20220922.tar",
        sha256="2eb8690c803ab37de0324772964100169ec8ba1fa3f7e94291c9ca673f40f362",
        page="https://github.com/amazon-science/spot-diff",
    ),
}


def home_of(dataset: str, category: str, root: str | Path | None) -> Path:
    """Find the folder that holds a dataset's categories, downloading it if need be.

    Args:
        dataset: ``"mvtec"`` or ``"visa"``.
        category: one of its categories.
        root: a copy that the reader has; then nothing is downloaded.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: if `root` does not exist or holds no such category.
        ConnectionError: if the download fails.
        ValueError: for a wrong checksum or an archive that would write outside its folder.
    """
    if root is not None:
        home = existing(root)
    else:
        import pooch

        given = os.environ.get(CACHE_VARIABLE)
        cache = Path(given).expanduser() if given else Path(pooch.os_cache("visual-anomaly-book"))
        home = cache / dataset
        if not home.is_dir():
            archive = _download(dataset, cache)
            _unpack(archive, home, category)
            archive.unlink()
    if not (home / category).is_dir():
        inside = ", ".join(p.name for p in visible(home)[:8]) or "no folders"
        raise FileNotFoundError(
            f"{home} holds no folder {category} (found: {inside}); it must hold the categories of "
            f"{dataset}"
        )
    return home


def _download(dataset: str, cache: Path) -> Path:
    """Fetch the archive. Pooch writes to a temporary file until the checksum is right."""
    import pooch
    import requests

    source = ARCHIVES[dataset]
    remedy = f"Try again later, or download it from {source.page} and give the folder as root="
    try:
        file = pooch.retrieve(
            source.url,
            known_hash=f"sha256:{source.sha256}",
            fname=source.url.rsplit("/", 1)[1],
            path=cache,
            downloader=pooch.HTTPDownloader(progressbar=True, timeout=30),
        )
    except requests.exceptions.RequestException as error:
        answer = getattr(error.response, "status_code", None)
        why = f"it answers {answer}" if answer else f"no connection, {type(error).__name__}"
        raise ConnectionError(
            f"{dataset} is not on this machine and {source.url} cannot be fetched: {why}. {remedy}"
        ) from error
    except ValueError as error:
        raise ValueError(
            f"{source.url} sent a file with a wrong checksum, thrown away: {error} {remedy}"
        ) from error
    return Path(file)


def _unpack(archive: Path, home: Path, category: str) -> None:
    """Unpack beside `home` and move it there when all is well: there is never half a dataset."""

    def plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
        if Path(member.name).is_absolute() or not (member.isfile() or member.isdir()):
            raise tarfile.FilterError(f"{member.name!r} is a link, a device or an absolute path")
        return tarfile.data_filter(member, folder)  # refuses what leaves the folder

    print(f"unpacking {archive.name}; this can take minutes", flush=True)
    partial = Path(tempfile.mkdtemp(prefix=f".partial-{home.name}-", dir=home.parent))
    try:
        with tarfile.open(archive, "r|*") as tar:
            tar.extractall(partial, filter=plain)
        found = next((p for p in (partial, *visible(partial)) if (p / category).is_dir()), None)
        if found is None:
            raise ValueError(f"{archive} holds no folder {category}: it is another archive")
        found.rename(home)
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise ValueError(
            f"{archive} was not unpacked ({error}); nothing of it was kept. Delete it, and do not "
            "trust where it came from"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def visa(home: Path, category: str) -> Split:
    """Entries of VisA by its own one-class split, ``split_csv/1cls.csv``.

    Args:
        home: the folder that holds the categories and the table.
        category: one of them.

    Returns:
        Entries to train on and to test on.

    Raises:
        FileNotFoundError: if the table, or a file that it names, is missing.
        ValueError: if the training images are not purely normal.
    """
    table = home / "split_csv" / "1cls.csv"
    if not table.is_file():
        raise FileNotFoundError(f"{table} is missing; VisA's split table comes with its archive")
    split: dict[str, list[Entry]] = {"train": [], "test": []}
    with table.open(encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            if row["object"] != category:
                continue
            kind = "good" if row["label"] == "normal" else "anomaly"
            masks = (home / row["mask"],) if row["mask"] and kind != "good" else ()
            split[row["split"]].append(Entry(home / row["image"], row["image"], kind, masks))
    for file in [f for e in (*split["train"], *split["test"]) for f in (e.file, *e.masks)]:
        if not file.is_file():
            raise FileNotFoundError(f"{file} is named in {table}, but is not there")
    if not split["train"] or any(e.type != "good" for e in split["train"]):
        raise ValueError(f"{table} names no purely normal training images of {category}")
    return split["train"], split["test"]
