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

from helpers.names import known

_WORDS = {
    "good": "good ok okay normal nominal pass passed accept accepted conforming golden intact "
    "정상 정상품 양품 양호 합격 합격품 적합 무결함 무결점 이상무 정품 良品 合格 正常",
    "bad": "bad ng nok defect defective anomaly anomalie anomalous abnormal fail failed "
    "failure fault faulty reject rejected 불량 불량품 결함 이상 불합격 비정상 부적합 하자 不良",
    "mask": "mask gt groundtruth label annotation annotated seg segmentation segmap anno "
    "마스크 정답 라벨 레이블 어노테이션 주석 라벨링 레이블링",
    "out": "result output heatmap overlay prediction pred predicted visualization visualisation "
    "vis anomalymap scoremap inference report figure plot log cache tmp temp trash backup copy "
    "thumb thumbnail unused excluded ignore xyz depth 결과 결과물 출력 히트맵 오버레이 시각화 예측 "
    "추론 보고서 임시 휴지통 백업 복사본 썸네일 제외 미사용",
    "train": "train training trn 학습 훈련 트레인 트레이닝",
    "test": "test testing tst eval evaluation holdout 테스트 시험 평가 검사",
    "val": "val validation valid dev 검증 밸리데이션",
    # Names that say too little: good and defective images are both called so.
    "unclear": "positive negative pos neg true tp fp tn fn unknown unlabeled unlabelled unsorted "
    "raw original origin old new all reference ref master template 양성 음성 미분류 미확인 보류 "
    "원본 전체 기준 표준 마스터 새폴더 과검 미검",
    "filler": "image img imgs picture pic photo data dataset file folder rgb set detection "
    "inspection the of and 이미지 사진 데이터 데이터셋 영상 폴더 파일 그림 품 용 셋 들 검출 "
    "탐지 모음 판정",
    # Filler beside another word, a name of its own alone.
    "thing": "part product sample item unit piece line cam camera lot batch day shift front back "
    "top bottom left right side view station color colour gray grey 제품 부품 샘플 시료 라인 "
    "카메라 호기 로트 공정 상면 하면 전면 후면 측면 앞면 뒷면 주간 야간 컬러 흑백 년 월 일 차",
    "doubt": "false pseudo 가성",  # a false defect is a good part
    "not": "no not non without 無",
    "free": "free 없음 없는",
}
_ROLE = {word: role for role, words in _WORDS.items() for word in words.split()}
_HANGUL = "|".join(sorted((w for w in _ROLE if "가" <= w[0] <= "힣"), key=len, reverse=True))
_ONE_WORD = {
    "ground truth": "gt",
    "n g": "ng",
    "o k": "ok",
    "heat map": "heatmap",
    "새 폴더": "새폴더",
}
_MARKS = {
    "mask": "masks?|gt|labels?|seg|segmentation|annotation|ground_?truth|마스크|정답|라벨",
    "out": "results?|outputs?|heatmap|overlay|pred|prediction|anomaly_?map|결과|히트맵",
}
_BESIDE = {  # what marks a mask or a drawing that lies beside its image: 000_mask.png, mask_000.png
    role: re.compile(rf"^(?:({w})[ _.-]+(.+)|(.+?)[ _.-]*(?:(?<=[ _.-])|(?<=\d))({w}))$")
    for role, w in _MARKS.items()
}
_SPLITS = ("train", "val", "test")
_STUBS = {"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS", "PCD", "GBR", "ICO", "ICNS", "CUR"}
_FOREIGN = re.compile(  # images, videos and archives that Pillow does not read
    r"\.(hei[cf]|raw|cr[23]|nef|arw|dng|dcm|dicom|np[yz]|mat|pdf|svg|eps|ai|[ew]mf|exr|hdr|jxl|czi|"
    r"avi|mp4|mov|mkv|wmv|zip|7z|rar|t?gz|tar|h5|hdf5|ply|pcd|bin)"
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
class _Place:
    """An image file and what the folders above it say."""

    file: Path
    path: str
    where: str  # its folder, "." for the outermost
    stem: str
    split: str | None
    roles: frozenset[str]
    kind: tuple[str, ...]  # names that are neither a role nor filler, outermost first
    odd: bool  # a name says good and something else
    own: str  # the innermost name that means defective

    @property
    def label(self) -> str:
        """``"good"``, or the kind of defect; dates below a folder of defects are no kinds."""
        told = [name for name in self.kind if not self.own or re.search(r"[^\W\d_]", name)]
        return "good" if "good" in self.roles else "/".join(told) or self.own or "good"

    @property
    def key(self) -> tuple[str, ...]:
        """What an image and its mask have in common; flat masks have nothing in it."""
        if "good" in self.roles or ("mask" not in self.roles and self.label == "good"):
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


def existing(root: Any) -> Path:
    """Return `root` as an absolute path, or raise an error that names where it was looked for."""
    given = root if isinstance(root, Path) else _text("root", root, Path.cwd())
    folder = Path(given).expanduser().resolve()
    if not folder.is_dir():
        here = "" if Path(given).is_absolute() else f" ({given} was looked for in {Path.cwd()})"
        what = "is a file" if folder.is_file() else f"does not exist{here}"
        raise FileNotFoundError(
            f"there is no folder {folder}: it {what}; root= must be an existing folder, unpacked"
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
    if category is None:
        return _one_product(root)
    category = nfc(_text("category", category, root))
    by_name = {nfc(p.name): p for p in visible(root)}
    known(f"category in {root}", category, by_name)
    labelled = [n for n, p in by_name.items() if _read(n)[0] & {"good", "train"} and _images(p)]
    if labelled:
        raise ValueError(
            f"{root} holds {', '.join(labelled)} beside {category}: it is one product, and "
            f"{category} is no category of it; leave category out"
        )
    return _one_product(by_name[category])


def _text(what: str, value: Any, folder: Path) -> str:
    """A name as text; a whole number stands for the one folder that it fits."""
    names = [nfc(p.name) for p in visible(folder)]
    if isinstance(value, int) and not isinstance(value, bool):
        fits = [n for n in names if n.isdecimal() and int(n) == value]
        if len(fits) == 1:
            return fits[0]
        value = f"{value}, a number that fits {len(fits)} folders of {', '.join(names) or 'none'}"
    elif isinstance(value, str):
        return value
    raise ValueError(
        f"{what} must be text, found {value}; with papermill, -r {what} 007 gives text and keeps "
        "the zeros that -p drops"
    )


def _one_product(folder: Path) -> Path:
    """Return the folder, unless its subfolders look like products of their own."""
    names = {nfc(p.name): _read(nfc(p.name)) for p in visible(folder) if _images(p)}
    inner = [name for name, (roles, _) in names.items() if not roles]
    if len(inner) == 1 and not names[inner[0]][1]:
        inner = []  # "images": says nothing, its folders do
    labelled = any(roles - {"mask", "out", "unclear"} for roles, _ in names.values())
    if inner and not labelled and not _images(folder, deep=False):
        raise ValueError(
            f"{folder} holds no folder that its name tells to be good, train or test. If its "
            f"folders are products, give it as root and choose one of {', '.join(inner)} as "
            "category (papermill: -r category NAME); if they are good and defective images, call "
            "the folder of the good ones good"
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
    places = _beside(places)
    images = [p for p in places if not p.roles & {"mask", "out"}]
    masks = [p for p in places if "mask" in p.roles and "out" not in p.roles]
    for p in places:
        if "out" in p.roles:
            left.setdefault("results, copies or set aside by their name", []).append(p.path)
    good, bad, lines = _label(base, images)
    used = {p.path for p in (*good, *bad)}
    if stray := [p.path for p in images if p.path not in used]:
        left["directly in it beside folders that give labels"] = stray
    told = [line for reason, paths in left.items() for line in _left(reason, paths)]
    train, tested = ([p for p in good if (p.split == "test") == side] for side in (False, True))
    least = LEAST_TRAIN if tested else LEAST
    if len(train) < least or (tested and len(tested) + len(bad) < 2):
        files = [p.relative_to(base) for p in _files(base)]
        found = sorted({f"{nfc(p.parent.as_posix())}/*{p.suffix}" for p in files})
        many = f"{len(train)} good image{'' if len(train) == 1 else 's'} to train on"
        raise (ValueError if images else FileNotFoundError)(
            f"{base} holds {many if images else 'no images that Pillow can read'}; at least "
            f"{LEAST} good images are needed, or {LEAST_TRAIN} beside a test folder with 2 "
            "images, one of them good. They lie directly in it, in good/ or in train/good/. "
            + "\n".join([f"Found: {some(found, 8) or 'an empty folder'}", *told])
        )
    if not tested:
        tested, train = train[::5], [p for i, p in enumerate(train) if i % 5]
        lines.append("every fifth good image was set apart for the test, which had none")
    owned = _owners([*train, *tested, *bad], masks)
    bad.sort(key=lambda p: (p.label, p.path))
    entries = [
        [Entry(p.file, p.path, p.label, tuple(owned.get(p.path, ()))) for p in part]
        for part in (train, [*tested, *bad])
    ]
    without = [p.path for p in bad if p.path not in owned]
    lines.insert(0, f"masks: for {len(bad) - len(without)} of {len(bad)} defective images")
    if without and len(without) < len(bad):
        lines[0] += f"; without: {some(without, 12)}"
    for name, part in (("test", [*tested, *bad]), ("train", train)):
        places_of = some(list(dict.fromkeys(f"{p.where}/" for p in part)), 6)
        lines.insert(0, f"{name}: {counts(p.label for p in part)}, from {places_of}")
    return entries[0], entries[1], [f"{base}:", *lines, *told]


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
def _read(name: str) -> tuple[frozenset[str], str]:
    """The roles that a folder's name gives, and its words without a role."""
    text = f" {' '.join(_tokens(name))} "
    for words, one in _ONE_WORD.items():
        text = text.replace(f" {words} ", f" {one} ")
    found = [(t, _ROLE.get(t) or _ROLE.get(t.removesuffix("s"))) for t in text.split()]
    turned = {"good": "bad", "bad": "good"}
    for i in range(len(found) - 1, 0, -1):
        (_, a), (word, b) = found[i - 1 : i + 1]
        if a == "not" or b == "free":
            found[i - 1 : i + 1] = [(word, turned.get(str(b if a == "not" else a), "unclear"))]
    told = {role for _, role in found if role}
    roles = told - {"filler", "thing", "not", "free"}
    spare = [w for w, r in found if r is None and not w.isdigit() and len(w) + (w >= "가") > 1]
    if {"good", "bad"} <= roles:  # "ok_ng": what lies deeper decides
        roles = (roles - {"good", "bad"}) | ({"unclear"} if spare else set())
    if "doubt" in roles:
        roles = {"unclear"}
    alone = not told or (not roles and "thing" in told)  # "0412", "part 3"
    return frozenset(roles), " ".join(spare) or (name if alone else "")


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


def _walk(base: Path) -> tuple[list[_Place], dict[str, list[str]]]:
    """All image files, and by its reason what is left out."""
    places: list[_Place] = []
    left: dict[str, list[str]] = {}
    for file in _files(base):
        path, suffix = nfc(file.relative_to(base).as_posix()), file.suffix.lower()
        if any(_hidden(part) for part in path.split("/")):
            left.setdefault("hidden or system files", []).append(path)
        elif suffix in suffixes():
            places.append(_place(file, path))
        elif _FOREIGN.fullmatch(suffix):
            left.setdefault("not readable with Pillow here, convert to PNG", []).append(path)
        else:
            left.setdefault("no images", []).append(path)
    folders = (p for p in base.rglob("*") if p.is_dir() and not _hidden(p.name))
    empty = sorted(nfc(p.relative_to(base).as_posix()) for p in folders if not any(p.iterdir()))
    return places, left | ({"empty folders": empty} if empty else {})


def _place(file: Path, path: str) -> _Place:
    *folders, _ = path.split("/")
    split, own, odd = None, "", False
    roles: set[str] = set()
    kind: list[str] = []
    for folder in folders:
        here, rest = _read(folder)
        split = next((s for s in _SPLITS if s in here), split)
        roles |= here - {*_SPLITS}
        own = folder if "bad" in here else own
        odd |= "good" in here and bool(rest or "unclear" in here)
        if (rest and "good" not in here) or here == {"unclear"}:
            kind.append(rest if here & {"mask", *_SPLITS} else folder)
    if roles & {"good", "bad"}:
        roles.discard("unclear")
    where, stem = "/".join(folders) or ".", nfc(file.stem).casefold()
    return _Place(file, path, where, stem, split, frozenset(roles), tuple(kind), odd, own)


def _beside(places: list[_Place]) -> list[_Place]:
    """Recognise masks and drawings of results that lie beside their images."""
    plain = [p for p in places if not p.roles & {"mask", "out"}]
    there = {(p.where, p.stem) for p in plain}
    found: dict[_Place, str] = {}
    for role, pattern in _BESIDE.items():
        matches = [(p, pattern.match(p.stem)) for p in plain]
        owners = {p: (p.where, match[2] or match[3]) for p, match in matches if match}
        found |= {p: role for p, owner in owners.items() if owner in there}
        alone = [p for p, owner in owners.items() if owner not in there]
        if len(alone) < len(plain):  # where all are called so, it is the product's name
            _refuse(
                alone,
                "is called like a mask or a result, but does not lie beside its image; put masks "
                "into ground_truth/<kind>/, take results away, or rename it",
            )
    return [replace(p, roles=p.roles | {found[p]}) if p in found else p for p in places]


# --- labels -------------------------------------------------------------------------------------


def _label(base: Path, images: list[_Place]) -> tuple[list[_Place], list[_Place], list[str]]:
    """Tell good images from defective ones, and say which rule was used."""
    lines = []
    if any(p.split == "val" for p in images):
        tested = any(p.split == "test" for p in images)
        for i, p in enumerate(images):
            if p.split == "val":
                to = "train" if tested and "good" in p.roles else "test"
                images[i] = replace(p, split=to)
        joins = "its good images join train, its defects the test"
        lines.append(f"validation: {joins if tested else 'taken as the test, there is no other'}")
    good = [p for p in images if "good" in p.roles]
    bad = [p for p in images if "good" not in p.roles and (p.roles or p.kind)]
    bare = [p for p in images if not p.roles and not p.kind]
    both = [p for p in good if "bad" in p.roles]
    _refuse(both, "has both good and defective in its path; rename the folder")
    odd = [p for p in good if p.odd and p.split != "train"]
    _refuse(odd, "lies in a folder called good and something else; put it into good/, or rename")
    flat = [p for p in bare if p.split is not None]
    if all(p.split == "train" for p in flat) and not any(p.split == "train" for p in good):
        good, flat = [*good, *flat], []
    wrong = [p for p in bad if p.split == "train"]
    if flat or wrong:
        where = dict.fromkeys(p.where.partition("/")[2] or p.where for p in wrong)
        what = "images directly" if flat else f"{', '.join(where)} beside good"
        folder = flat[0].where if flat else wrong[0].where.partition("/")[0]
        raise ValueError(
            f"{base / folder} holds {what}; sort them into "
            "train/good, which alone is trained on, test/good and test/<kind of defect>"
        )
    unsure = [p for p in bad if p.split is None and not p.own]
    stray = [p for p in bare if p.split is None]
    if not good and stray:
        good = stray
        _refuse(unsure, f"lies beside images directly in {base}; put the good ones into good/")
    named = [p for p in good if "good" not in p.roles and "bad" in _read(p.file.stem)[0]]
    _refuse(named, "is called defective, but lies among the good images; put it into defects/")
    if any(p.split for p in images):
        _refuse(unsure, "lies beside train or test; move it to test/<kind of defect> or away")
    beside_good = any(p.split != "train" for p in good)
    vague = [p for p in bad if not p.own and p.kind and _vague(p, beside_good)]
    _refuse(vague, "may be good or defective by its folder's name; call the folder otherwise")
    for places, other in ((good, "bad"), (bad, "good")):
        called = [p.path for p in places if other in _read(p.file.stem)[0]]
        if called and len(called) < len(places):
            lines.append(f"note: {other} by the file's name, not by the folder's: {some(called)}")
    return sorted(good, key=lambda p: p.path), bad, lines


def _vague(place: _Place, beside_good: bool) -> bool:
    """True where a name says too little, or is a word for good with a slip of the pen."""
    name, words = place.kind[-1], [w for w in _WORDS["good"].split() if len(w) > 3]
    near = difflib.get_close_matches(name.casefold(), words, n=1, cutoff=0.82)
    return "unclear" in place.roles or (name.isdigit() and not beside_good) or bool(near)


def _refuse(places: Sequence[_Place], why: str) -> None:
    if places:
        folder = places[0].file.parent
        raise ValueError(f"{folder}: each of {some([p.path for p in places])} {why}")


# --- masks --------------------------------------------------------------------------------------


def _owners(images: list[_Place], masks: list[_Place]) -> dict[str, list[Path]]:
    """Masks by the path of their image."""
    by_stem: dict[str, list[_Place]] = {}
    for p in images:
        by_stem.setdefault(p.stem, []).append(p)
    owned: dict[str, list[Path]] = {}
    lost = []
    for mask in masks:
        hits = _candidates(mask, by_stem)
        if len(hits) > 1:
            names = some([p.path for p in hits])
            raise ValueError(
                f"the mask {mask.file} may belong to {names}: they differ in their suffix only, or "
                "lie in folders of other names than the mask's; rename, or use ground_truth/<kind>/"
            )
        if hits:
            owned.setdefault(hits[0].path, []).append(mask.file)
        else:
            lost.append(mask)
    if lost:
        raise ValueError(
            f"{some([str(p.file) for p in lost], 20)} belongs to no image: there is none so called "
            f"of {'/'.join(lost[0].kind) or 'any kind'}; a mask is called like its image, with or "
            "without _mask, and lies in ground_truth/<kind>/. If these are no masks, leave mask, "
            "label and gt out of the folder's name"
        )
    return owned


def _candidates(mask: _Place, by_stem: dict[str, list[_Place]]) -> list[_Place]:
    """The images that a mask may belong to: by name and folder, by its own folder, by name only."""
    last = mask.where.rpartition("/")[2].casefold()
    for stem, key in ((mask.stem, mask.key), (last, mask.key[:-1])):
        match = _BESIDE["mask"].match(stem)
        names = [stem, Path(stem).stem if Path(stem).suffix in suffixes() else stem]
        for name in [*names, match[2] or match[3]] if match else names:
            named = by_stem.get(name, [])
            hits = [p for p in named if p.key == key]
            if not hits and not key:
                hits = [p for p in named if p.key != ("good",)] or named
            hits = [p for p in hits if p.where == mask.where] or hits
            hits = [p for p in hits if p.split == (mask.split or "test")] or hits
            if hits:
                return hits
    return []


# --- the account --------------------------------------------------------------------------------


def some(names: Sequence[str], most: int = 3) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def counts(kinds: Iterable[str]) -> str:
    """Return how often each kind occurs, in the order of first occurrence: ``4 good, 2 crack``."""
    return ", ".join(f"{n} {kind}" for kind, n in Counter(kinds).items())


def _left(reason: str, paths: list[str]) -> list[str]:
    kinds = counts(Path(p).suffix.lower() or "without ending" for p in paths)
    if reason.startswith(("hidden", "empty")):
        return [f"left out, {reason}: {len(paths) if reason[0] == 'h' else some(paths)}"]
    return [f"left out, {reason}: {kinds} ({some(paths)})"]
