"""A reader's folder of images: which file is trained on, tested on, a mask, or left out and why.

The rule: every file below the folder is used, named as left out with the reason, or refused. What a
folder holds is read from its name, in English or Korean, in any case, with numbers, plurals and
separators: ``01_good``, ``Good-1`` and ``정상 이미지`` all hold good images.
"""

import difflib
import functools
import os
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

_WORDS = {
    "good": "good ok okay okey normal nominal pass passed accept accepted conforming golden "
    "intact flawless faultless healthy io 정상 정상품 양품 양호 합격 합격품 적합 무결함 무결점 "
    "이상무 정품 良品 合格 正常",
    "bad": "bad ng nok nio defect defective anomaly anomalie anomalous abnormal fail failed "
    "failure fault faulty reject rejected nonconforming 불량 불량품 결함 이상 불합격 비정상 부적합 "
    "하자 不良 不良品 缺陷 异常",
    "mask": "mask gt groundtruth label annotation annotated seg segmentation segmap anno labelme "
    "마스크 정답 라벨 레이블 어노테이션 주석 라벨링 레이블링 정답지",
    "out": "result output heatmap overlay prediction pred predicted visualization visualisation "
    "vis anomalymap scoremap inference infer report figure plot log cache tmp temp trash backup "
    "xyz depth 결과 결과물 출력 히트맵 오버레이 시각화 예측 추론 보고서 임시 휴지통 백업",
    "train": "train training trn fit 학습 훈련 트레인 트레이닝",
    "test": "test testing tst eval evaluation holdout 테스트 시험 평가 검사",
    "val": "val validation valid dev 검증 밸리데이션",
    # Names that say too little: good and defective images are both called so.
    "unclear": "positive negative pos neg true false unknown unlabeled unlabelled unsorted raw "
    "original origin old new all reference ref master template 양성 음성 미분류 미확인 보류 원본 "
    "전체 기준 표준 마스터",
    "filler": "image img imgs picture pic photo data dataset file folder rgb "
    "set color colour gray grey detection inspection the of and 이미지 사진 데이터 데이터셋 영상 "
    "폴더 파일 그림 품 용 셋 들 컬러 흑백 검출 탐지 모음 판정",
    # Filler beside another word, a name of its own alone.
    "thing": "part product sample item unit piece line cam camera lot batch day shift front back "
    "top bottom left right side view station 제품 부품 샘플 시료 라인 카메라 호기 로트 공정 "
    "상면 하면 전면 후면 측면 앞면 뒷면 주간 야간 년 월 일 차",
    "not": "no not non without 無",
    "free": "free 없음 없는",
}
_ROLE = {word: role for role, words in _WORDS.items() for word in words.split()}
_HANGUL = "|".join(sorted((w for w in _ROLE if "가" <= w[0] <= "힣"), key=len, reverse=True))
_ONE_WORD = {"ground truth": "gt", "n g": "ng", "o k": "ok", "n ok": "nok", "heat map": "heatmap"}
_BESIDE = {  # what marks a mask or a drawing that lies beside its image: 000_mask.png, mask_000.png
    role: re.compile(rf"^(?:({words})[ _.-]+(.+)|(.+?)[ _.-]*(?:(?<=[ _.-])|(?<=\d))({words}))$")
    for role, words in {
        "mask": "masks?|gt|labels?|seg|segmentation|annotation|ground_?truth|마스크|정답|라벨",
        "out": "results?|outputs?|heatmap|overlay|pred|prediction|anomaly_?map|결과|히트맵",
    }.items()
}
_STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS", "PCD", "GBR", "ICO", "ICNS", "CUR"}
_FOREIGN = re.compile(  # images, videos and archives that Pillow does not read
    r"\.(hei[cf]|raw|cr[23]|nef|arw|dng|raf|orf|rw2|dcm|dicom|np[yz]|mat|pdf|svgz?|eps|ai|[ew]mf|exr|"
    r"hdr|jxl|czi|avi|mp4|mov|mkv|wmv|zip|7z|rar|t?gz|tar|h5|hdf5|ply|pcd|bin)"
)
_SYSTEM = re.compile(r"[.~].*|__macosx|@eadir|thumbs\.db|desktop\.ini|lost\+found|\$recycle\.bin")
# 3 to fit, 1 for the threshold; 2 to test, and every fifth of 6 are 2. With fewer a notebook fails.
LEAST, LEAST_TRAIN = 6, 4


@dataclass(frozen=True)
class Entry:
    """One image to read.

    Attributes:
        file: where it lies.
        path: its name below the dataset, with forward slashes.
        type: ``"good"``, or the kind of defect.
        masks: files that mark its defect; what any of them marks counts.
        kind: a defect of this kind is drawn on the image; None: none is.
        box: left, top, right, bottom of a crop; None: the whole image.
    """

    file: Path
    path: str
    type: str = "good"
    masks: tuple[Path, ...] = ()
    kind: str | None = None
    box: tuple[int, int, int, int] | None = None


Split = tuple[list[Entry], list[Entry]]


@dataclass(frozen=True)
class _Name:
    roles: frozenset[str]
    rest: str  # the words without a role


@dataclass(frozen=True)
class _Place:
    """An image file and what the folders above it say."""

    file: Path
    path: str
    where: str  # its folder, "." for the outermost
    stem: str
    split: str | None
    roles: frozenset[str]
    kind: tuple[str, ...]  # names that are neither a role nor filler, outermost first
    odd: tuple[str, ...]  # names that say good and something else
    own: str = ""  # the innermost name that means defective

    @property
    def key(self) -> tuple[str, ...]:
        """What an image and its mask have in common."""
        if "good" in self.roles:
            return ("good",)
        return tuple(" ".join(_tokens(name)) for name in self.kind)


def nfc(text: str) -> str:
    """Give one spelling to Hangul: some systems store it decomposed."""
    return unicodedata.normalize("NFC", text)


@functools.cache
def suffixes() -> frozenset[str]:
    """Return the endings of files that Pillow reads on this machine, in lower case with the dot."""
    Image.init()
    known = Image.registered_extensions().items()
    return frozenset(s for s, kind in known if kind in Image.OPEN and kind not in _STUBS)


def known(what: str, name: Any, names: Iterable[str]) -> None:
    """Raise a ValueError with the nearest suggestion unless `name` is one of `names`."""
    names = list(names)
    if name in names:
        return
    lower = {each.lower(): each for each in names}
    near = difflib.get_close_matches(str(name).lower(), lower, n=1, cutoff=0.5)
    hint = f"did you mean {lower[near[0]]!r}? " if near else ""
    raise ValueError(f"unknown {what}: {name!r}; {hint}known: {', '.join(names) or 'none'}")


def existing(root: Any) -> Path:
    """Return `root` as an absolute path, or raise an error that names where it was looked for."""
    if isinstance(root, int) and not isinstance(root, bool):
        root = _by_number("root", root, [p.name for p in visible(Path.cwd())])
    if not isinstance(root, str | Path):
        raise ValueError(f"root must be text, found {root!r}; with papermill: -r root {root}")
    folder = Path(root).expanduser().resolve()
    if folder.is_file():
        raise FileNotFoundError(f"{folder} is a file; root= must be a folder (unpack an archive)")
    if not folder.is_dir():
        here = "" if Path(root).is_absolute() else f" ({root} was looked for in {Path.cwd()})"
        raise FileNotFoundError(
            f"there is no folder {folder}{here}; root= must be an existing folder"
        )
    return folder


def visible(folder: Path) -> list[Path]:
    """Return the folders in `folder` in the order of their names, hidden ones left out."""
    found = (p for p in folder.iterdir() if not _hidden(p.name) and p.is_dir())
    return sorted(found, key=lambda p: nfc(p.name))


def choose(root: Any, category: Any) -> Path:
    """Find the folder of one product.

    Args:
        root: the reader's folder.
        category: the name of a folder in it; None if `root` itself holds the images of one product.
            A whole number stands for the one folder so called, zeros in front or not, because
            papermill's ``-p category 007`` gives 7.

    Returns:
        The folder, absolute.

    Raises:
        ValueError: for an unknown category, or where one has to be chosen or must not be.
        FileNotFoundError: if `root` does not exist.
    """
    root = existing(root)
    by_name = {nfc(p.name): p for p in visible(root)}
    if category is None:
        return _one_product(root)
    if isinstance(category, int) and not isinstance(category, bool):
        category = _by_number("category", category, list(by_name))
    if not isinstance(category, str):
        raise ValueError(
            f"category must be text, found {category!r}; with papermill: -r category {category}"
        )
    category = nfc(category)
    known(f"category in {root}", category, by_name)
    labelled = [n for n, p in by_name.items() if _read(n).roles & {"good", "train"} and _images(p)]
    if labelled:
        raise ValueError(
            f"{root} holds {', '.join(labelled)} beside {category}: it is one product, and "
            f"{category} is no category of it; leave category out"
        )
    return _one_product(by_name[category])


def _one_product(folder: Path) -> Path:
    """Return the folder, unless its subfolders look like products of their own."""
    names = {nfc(p.name): _read(nfc(p.name)) for p in visible(folder) if _images(p)}
    decisive = {"good", "bad", "train", "test", "val"}
    inner = [n for n, name in names.items() if not name.roles]
    if len(inner) == 1 and not names[inner[0]].rest:
        inner = []  # "images": says nothing, its folders do
    labelled = any(name.roles & decisive for name in names.values())
    if inner and not labelled and not _images(folder, deep=False):
        raise ValueError(
            f"{folder} holds no folder that its name tells to be good, train or test. If its "
            f"folders are products, give it as root and choose one of {', '.join(inner)} as "
            "category (papermill: -r category NAME); if they are good and defective images, call the "
            "folder of the good ones good"
        )
    return folder


def understand(base: Path) -> tuple[list[Entry], list[Entry], list[str]]:
    """Find out what every file below a folder is.

    Args:
        base: the folder of one product.

    Returns:
        Entries to train on, entries to test on, and the account: lines that name what is used, what
        is left out and why.

    Raises:
        ValueError: where a label cannot be told, a mask has no image, or good images are too few.
        FileNotFoundError: if there are no images.
    """
    places, left = _walk(base)
    places, beside = _beside(places)
    left += [(p, "a drawing of a result beside its image") for p in beside["out"]]
    masks = [p for p in places if "mask" in p.roles and "out" not in p.roles]
    out = [p for p in places if "out" in p.roles]
    left += [(p, "by the folder's name results, copies or depth, no photographs") for p in out]
    images = [p for p in places if not p.roles & {"mask", "out"}]
    good, bad, stray, lines = _label(base, images)
    left += [(p, "directly in the folder, beside folders that give labels") for p in stray]
    if not good and not images:
        raise FileNotFoundError(
            f"{base} holds no images that Pillow can read. Found: {_found(base)}" + _left(left)
        )
    train = [p for p in good if p.split != "test"]
    tested = [p for p in good if p.split == "test"]
    found = _found(base) + _left(left)
    _enough(base, len(train), len(tested), len(tested) + len(bad), found)
    if not tested:
        tested, train = train[::5], [p for i, p in enumerate(train) if i % 5]
        lines.append("every fifth good image was set apart for the test, which had none")
    owned = _owners([*train, *tested, *bad], masks, beside["mask"])

    def entry(place: _Place, kind: str) -> Entry:
        return Entry(place.file, place.path, kind, tuple(owned.get(place.path, ())))

    defects = [entry(p, _kind(p)) for p in bad]
    defects.sort(key=lambda e: (e.type, e.path))
    test = [*(entry(p, "good") for p in tested), *defects]
    account = [
        f"{base}:",
        f"train: {len(train)} good, from {_places(train)}",
        f"test: {counts(e.type for e in test)}, from {_places([*tested, *bad])}",
        _mask_line(defects),
        *lines,
    ]
    if empty := _empty(base):
        account.append(f"no files in: {some(empty)}")
    return [entry(p, "good") for p in train], test, [*account, *_left(left).splitlines()[1:]]


def _kind(place: _Place) -> str:
    """The name of a kind of defect; dates and numbers below a folder of defects are none."""
    told = [name for name in place.kind if not place.own or re.search(r"[^\W\d_]", name)]
    return "/".join(told) or place.own


# --- names --------------------------------------------------------------------------------------


def _tokens(name: str) -> list[str]:
    """Words and numbers of a name, in lower case; Hangul is cut where a known word stands."""
    text = unicodedata.normalize("NFKC", re.sub(r"([a-z])([A-Z])", r"\1 \2", nfc(name)))
    words = re.findall(r"[a-z]+|[가-힣]+|\d+|[^\W\d_]+", text.casefold())
    cut = [re.split(f"({_HANGUL})", w) if "가" <= w[0] <= "힣" else [w] for w in words]
    return [piece for pieces in cut for piece in pieces if piece]


def _role(token: str) -> str | None:
    return _ROLE.get(token) or _ROLE.get(token.removesuffix("s"))


@functools.cache
def _read(name: str) -> _Name:
    """What a folder's name says."""
    text = f" {' '.join(_tokens(name))} "
    for words, one in _ONE_WORD.items():
        text = text.replace(f" {words} ", f" {one} ")
    words: list[tuple[str, str | None]] = [(t, _role(t)) for t in text.split()]
    turned: dict[str | None, str] = {"good": "bad", "bad": "good"}
    i = 0
    while i + 1 < len(words):
        (first, a), (second, b) = words[i : i + 2]
        if a == "not" or b == "free":
            word, role = (second, b) if a == "not" else (first, a)
            words[i : i + 2] = [(word, turned.get(role, "unclear"))]
        i += 1
    told = {r for _, r in words if r}
    roles = told - {"filler", "thing", "not", "free"}
    if {"good", "bad"} <= roles:
        roles -= {"good", "bad"}  # "ok_ng": what lies deeper decides
    spare = [w for w, r in words if r is None and not w.isdigit() and len(w) + (w >= "가") > 1]
    alone = not told or (not roles and "thing" in told)  # "0412", "part 3"
    return _Name(frozenset(roles), " ".join(spare) or (name if alone else ""))


def _by_number(what: str, number: int, names: Sequence[str]) -> str:
    fits = [n for n in names if n.isdecimal() and int(n) == number]
    if len(fits) != 1:
        raise ValueError(
            f"{what} is the number {number}, which fits {len(fits)} folders of "
            f"{', '.join(names) or 'none'}; give it as text: with papermill, -r {what} 007 "
            "keeps the zeros that -p drops"
        )
    return fits[0]


def _hidden(name: str) -> bool:
    return _SYSTEM.fullmatch(name.casefold()) is not None


# --- files --------------------------------------------------------------------------------------


def _files(base: Path) -> list[Path]:
    """Every file below a folder, links followed once, in the order of names."""
    found: list[Path] = []
    seen = {os.path.realpath(base)}
    for folder, inner, names in os.walk(base, followlinks=True):
        for name in list(inner):
            real = os.path.realpath(os.path.join(folder, name))  # noqa: PTH118
            inner.remove(name) if real in seen else seen.add(real)
        found += [Path(folder, name) for name in names]
    return sorted(found, key=lambda p: nfc(p.relative_to(base).as_posix()))


def _images(base: Path, deep: bool = True) -> bool:
    files = _files(base) if deep else [p for p in base.iterdir() if p.is_file()]
    return any(p.suffix.lower() in suffixes() and not _hidden(p.name) for p in files)


def _empty(base: Path) -> list[str]:
    found = [p for p in base.rglob("*") if p.is_dir() and not any(p.iterdir())]
    return sorted(nfc(p.relative_to(base).as_posix()) for p in found if not _hidden(p.name))


def _walk(base: Path) -> tuple[list[_Place], list[tuple[Any, str]]]:
    """All image files, and what is left out with the reason."""
    places: list[_Place] = []
    left: list[tuple[Any, str]] = []
    for file in _files(base):
        path = nfc(file.relative_to(base).as_posix())
        *folders, name = path.split("/")
        if any(_hidden(each) for each in (*folders, name)):
            left.append((path, "hidden or system files"))
        elif file.suffix.lower() in suffixes():
            places.append(_place(file, path, folders))
        elif _FOREIGN.fullmatch(file.suffix.lower()):
            left.append((path, "of a type that Pillow cannot read here; convert them to PNG"))
        else:
            left.append((path, "no images"))
    return places, left


def _place(file: Path, path: str, folders: list[str]) -> _Place:
    split, own = None, ""
    roles: set[str] = set()
    kind: list[str] = []
    odd: list[str] = []
    vague: list[str] = []
    for folder in folders:
        name = _read(folder)
        here = name.roles & {"train", "val", "test"}
        split = next((s for s in ("train", "val", "test") if s in here), split)
        roles |= name.roles - here
        if "bad" in name.roles:
            own = folder
        if "good" in name.roles and (name.rest or "unclear" in name.roles):
            odd.append(folder)
        if name.rest and "good" not in name.roles:
            whole = not name.roles & {"mask", "train", "val", "test"}
            kind.append(folder if whole else name.rest)
        elif name.roles == {"unclear"}:
            vague.append(folder)
    if roles & {"good", "bad"}:
        roles.discard("unclear")
    else:
        kind += vague
    stem = nfc(file.stem).casefold()
    where = path.rpartition("/")[0] or "."
    return _Place(file, path, where, stem, split, frozenset(roles), tuple(kind), tuple(odd), own)


def _beside(places: list[_Place]) -> tuple[list[_Place], dict[str, list[Any]]]:
    """Take masks and drawings that lie beside their images out of the images."""
    folders: dict[str, set[str]] = {}
    for p in places:
        folders.setdefault(p.where, set()).add(p.stem)
    found: dict[str, list[Any]] = {"mask": [], "out": []}
    alone: dict[str, list[_Place]] = {"mask": [], "out": []}
    rest = []
    for p in places:
        for role, pattern in _BESIDE.items():
            match = None if p.roles & {"mask", "out"} else pattern.match(p.stem)
            if match and (match[2] or match[3]) in folders[p.where]:
                found[role].append((p, match[2] or match[3]) if role == "mask" else p)
                break
            if match:
                alone[role].append(p)
        else:
            rest.append(p)
    plain = [p for p in rest if not p.roles & {"mask", "out"}]
    for odd in alone.values():
        if odd and len(odd) < len(plain):  # where all are called so, it is the product's name
            raise ValueError(
                f"{some([p.path for p in odd])} look like masks or results by their names, but "
                "their images do not lie beside them; put masks into ground_truth/<kind>/, take "
                "results out of the folder, or rename the files"
            )
    return rest, found


# --- labels -------------------------------------------------------------------------------------


def _label(
    base: Path, images: list[_Place]
) -> tuple[list[_Place], list[_Place], list[_Place], list[str]]:
    """Tell good from defective: good, bad, stray images, and lines that say which rule was used."""
    if not images:
        return [], [], [], []
    splits = {p.split for p in images}
    tested = "test" in splits
    lines = []
    if "val" in splits:
        to = "train" if tested else "test"
        lines.append(
            "validation: good images join train, where the threshold's are drawn, defects the test"
            if tested
            else "validation: taken as the test, as there is no other"
        )
        images = [
            replace(p, split=to if to == "test" or "good" in p.roles else "test")
            if p.split == "val"
            else p
            for p in images
        ]
    good = [p for p in images if "good" in p.roles and "bad" not in p.roles]
    both = [p for p in images if {"good", "bad"} <= p.roles]
    _refuse(both, "have a path with a word for good and a word for defective; rename the folder")
    _refuse(
        [p for p in good if p.odd and p.split != "train"],
        "lie in a folder whose name says good and something else; call it good, with "
        "subfolders for what else there is to tell, or by the defect's name",
    )
    bare = [p for p in images if not p.roles and not p.kind]
    bad = [p for p in images if "good" not in p.roles and (p.roles or p.kind)]
    for part in ("train", "test"):
        flat = [p for p in bare if p.split == part]
        if part == "train" and flat and not any(p.split == "train" for p in (*good, *bad)):
            good += flat
            flat = []
        if flat:
            raise ValueError(
                f"{base / flat[0].where} holds images directly; sort them into {part}/good and "
                "test/<kind of defect>, so that their labels are known"
            )
    extra = [p for p in bad if p.split == "train"]
    if extra:
        names = dict.fromkeys(p.where.partition("/")[2] or p.where for p in extra)
        raise ValueError(
            f"{base / 'train'} holds {', '.join(names)} beside good, but training uses "
            "normal images only; move defects to test/<kind of defect>, good images to train/good"
        )
    stray = [p for p in bare if p.split is None]
    if not good and stray:
        _refuse(
            [p for p in bad if not p.own],
            f"lie beside images that are directly in {base}; put the good images into good/",
        )
        named = [p for p in stray if "bad" in _read(p.file.stem).roles]
        _refuse(named, "are called defective, but lie among the good images; move them to defects/")
        good, stray = stray, []
    beside = [p for p in bad if p.split is None and not p.own]
    if any(p.split for p in images):
        _refuse(beside, "lie beside train or test; move them to test/<kind of defect> or away")
    top_good = any(p.split == "test" or p.split is None for p in good)
    for p in bad:
        last = p.kind[-1] if p.kind else ""
        near = difflib.get_close_matches(last.casefold(), _GOOD, n=1, cutoff=0.8)
        vague = "unclear" in p.roles or (last.isdigit() and not top_good)
        if not p.own and (near or vague):
            _refuse(
                [p], f"may be good or defective by the name {last!r}; call it good or otherwise"
            )
    for places, other in ((good, "bad"), (bad, "good")):
        called = [p.path for p in places if other in _read(p.file.stem).roles]
        if called and len(called) < len(places):
            lines.append(
                f"note: {other} by the file's name, but not by the folder's: {some(called)}"
            )
    good.sort(key=lambda p: p.path)
    return good, bad, stray, lines


_GOOD = [w for w in _WORDS["good"].split() if len(w) > 3]


def _refuse(places: list[_Place], why: str) -> None:
    if places:
        folders = list(dict.fromkeys(str(p.file.parent) for p in places))
        raise ValueError(f"{some(folders)}: {some([p.path for p in places])} {why}")


def _enough(base: Path, train: int, good: int, test: int, found: str) -> None:
    least = LEAST_TRAIN if good else LEAST
    if train < least:
        raise ValueError(
            f"{base} holds {train} good image{'' if train == 1 else 's'}"
            f"{' to train on' if good else ''}, at least {least} are needed: {LEAST}, or "
            f"{LEAST_TRAIN} beside a test folder with good images. They lie directly in it, in "
            f"good/ or in train/good/. Found: {found}"
        )
    if good and test < 2:
        raise ValueError(
            f"{base} holds {test} image to test, at least 2 are needed. Found: {found}"
        )


# --- masks --------------------------------------------------------------------------------------


def _owners(
    images: list[_Place], masks: list[_Place], beside: list[tuple[_Place, str]]
) -> dict[str, list[Path]]:
    """Masks by the path of their image."""
    by_stem: dict[str, list[_Place]] = {}
    for p in images:
        by_stem.setdefault(p.stem, []).append(p)
    owned: dict[str, list[Path]] = {}
    for mask, stem in beside:
        hits = [p for p in by_stem.get(stem, []) if p.where == mask.where]
        owned.setdefault(_one(mask, hits), []).append(mask.file)
    lost = []
    for mask in masks:
        hits = _candidates(mask, by_stem)
        if hits:
            owned.setdefault(_one(mask, hits), []).append(mask.file)
        else:
            lost.append(mask)
    if lost:
        kind = "/".join(lost[0].kind) or "any kind"
        raise ValueError(
            f"{some([str(p.file) for p in lost], 20)} belongs to no image: there is no image of "
            f"{kind} so called; a mask is called like its image, with or without _mask, and "
            "lies in ground_truth/<kind>/. If these are no masks, leave mask, label and gt out of "
            "the folder's name"
        )
    return owned


def _candidates(mask: _Place, by_stem: dict[str, list[_Place]]) -> list[_Place]:
    """The images that a mask may belong to: by name and folder, by its own folder, by name only."""
    last = mask.where.rpartition("/")[2].casefold()
    for stem, key in ((mask.stem, mask.key), (last, mask.key[:-1])):
        for name in _names(stem):
            named = by_stem.get(name, [])
            hits = [p for p in named if p.key == key]
            if not hits and not key:
                hits = [p for p in named if p.key != ("good",)] or named
            if mask.split is not None:
                hits = [p for p in hits if p.split == mask.split] or hits
            if hits:
                return [p for p in hits if p.split == "test"] or hits
    return []


def _names(stem: str) -> list[str]:
    """The stems of images that a mask of this stem may belong to."""
    names = [stem]
    if Path(stem).suffix in suffixes():
        names.append(Path(stem).stem)  # 000.bmp.png
    match = _BESIDE["mask"].match(stem)
    return [*names, match[2] or match[3]] if match else names


def _one(mask: _Place, hits: list[_Place]) -> str:
    if len(hits) == 1:
        return hits[0].path
    if len({p.where for p in hits}) == 1:
        raise ValueError(
            f"images in {hits[0].file.parent} differ in their suffix only, so that it is not clear "
            f"whose the mask {mask.file} is; rename them"
        )
    raise ValueError(
        f"the mask {mask.file} may belong to {some([p.path for p in hits])}; put it into "
        "ground_truth/<kind>/, the kind called like the folder of its image"
    )


# --- the account --------------------------------------------------------------------------------


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counts(kinds: Iterable[str]) -> str:
    """Return how often each kind occurs, in the order of first occurrence: ``4 good, 2 crack``."""
    return ", ".join(f"{n} {kind}" for kind, n in Counter(kinds).items())


def _places(places: list[_Place]) -> str:
    return some(list(dict.fromkeys(f"{p.where}/" for p in places)), 6).replace("./", "the folder")


def _mask_line(defects: list[Entry]) -> str:
    without = [e.path for e in defects if not e.masks]
    if not defects:
        return "masks: none, as there are no defective images"
    if len(without) == len(defects):
        return f"masks: none for {len(defects)} defective images"
    line = f"masks: {len(defects) - len(without)} of {len(defects)} defective images"
    return f"{line}; without: {some(without, 12)}" if without else line


def _left(left: list[tuple[Any, str]]) -> str:
    """One line for every reason to leave files out."""
    reasons: dict[str, list[str]] = {}
    for item, reason in left:
        reasons.setdefault(reason, []).append(item if isinstance(item, str) else item.path)
    lines = []
    for reason, paths in reasons.items():
        kinds = counts(Path(p).suffix.lower() or "without ending" for p in paths)
        names = "" if reason.startswith("hidden") else f" ({kinds}): {some(paths)}"
        lines.append(f"left out, {reason}: {len(paths)}{names}")
    return "".join(f"\n{line}" for line in lines)


def _found(base: Path) -> str:
    files = [p.relative_to(base) for p in _files(base)]
    found = sorted({f"{nfc(p.parent.as_posix())}/*{p.suffix}" for p in files})
    return some(found, 8) or "an empty folder"
