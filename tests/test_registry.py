"""The registry agrees with the reading list, with the files, and with its own rules."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import records
import registry
import yaml
from constants import LANGUAGES
from directives import words

ROOT = Path(__file__).resolve().parent.parent
BOOK = ROOT / "book"
KNOWN = registry.load(BOOK / "methods.yml")

# The reading list, word for word: its sections, its titles, and the links it gives.
READING_LIST = """
# Classical Approach
히스토그램을 이용한 결함 탐지 > otsu 알고리즘
GLCM을 이용한 결함 탐지
Local Binary Pattern을 이용한 결함 탐지
자기상관(Autocorrelation)을 이용한 결함 탐지
구조 기반 결함 탐지 > Canny 알고리즘을 이용한 엣지 추출
구조 기반 결함 탐지 > Morphology 연산
구조 기반 결함 탐지 > Zhang-Suen 알고리즘을 이용한 skeleton 추출
필터 기반 결함 탐지 > Sobel 필터, Laplacian 필터
필터 기반 결함 탐지 > 푸리에 변환 후 필터링을 통하 이상치 탐지
# 1. Student-Teacher Architecture
Uninformed students: Student-teacher anomaly detection with discriminative latent embeddings (2020)
Multiresolution knowledge distillation for anomaly detection (2021)
Student-teacher feature pyramid matching for anomaly detection (2021)
Anomaly detection via reverse distillation from one-class embedding (2022)
# 2. One-Class Classification
Support vector data description (2004)
Deep nearest neighbor anomaly detection (2020)
Patch svdd: Patch-level svdd for anomaly detection and segmentation (2020)
Learning and evaluating representations for deep one-class classification (2020)
Explainable deep one-class classification (2020)
Attention guided anomaly localization in images (2020)
Panda: Adapting pretrained features for anomaly detection and segmentation (2021)
Cutpaste: Self-supervised learning for anomaly detection and localization (2021)
# 3. Distribution Map
Variational Inference with Normalizing Flows (2015)
Modeling the distribution of normal data in pre-trained deep features for anomaly detection (2021)
Same same but differnet: Semi-supervised defect detection with normalizing flows (2021)
Fully convolutional cross-scale-flows for image-based defect detection (2022)
# 4. Memory Bank
Sub-image anomaly detection with deep pyramid correspondences (2020)
Padim: a patch distribution modeling framework for anomaly detection and localization (2021)
Towards total recall in industrial anomaly detection (2022)
# 5. Autoencoder
Iterative energy-based projection on a normal data manifold for anomaly localization (2019)
Encoding structure-texture relation with p-net for anomaly detection in retinal images (2020)
Towards visually explaining variational autoencoders (2020)
Improved anomaly detection by training an autoencoder with skip connections on images corrupted \
with stain-shaped noise (2021)
Divide-and-assemble: Learning block-wise memory for unsupervised anomaly detection (2021)
Draem-a discriminatively trained reconstruction embedding for surface anomaly detection (2021)
DSR–a dual subspace re-projection network for surface anomaly detection (2022)
Natural synthetic anomalies for self-supervised anomaly detection and localization (2022)
Self-supervised predictive convolutional attentive block for anomaly detection (2022)
# 6. GAN
Learning semantic context from normal samples for unsupervised anomaly detection (2021)
Anoseg: Anomaly segmentation network using self-supervised learning (2021)
Omni-frequency channel-selection representations for unsupervised anomaly detection (2022)
# 7. Transformer
Vt-adl: A vision transformer network for image anomaly detection and localization (2021)
Inpainting transformer for anomaly detection (2021)
A Unified Model for Multi-class Anomaly Detection (2022)
ADTR: Anomaly Detection Transformer with Feature Reconstruction (2022)
# 8. Diffusion Model
Anoddpm: Anomaly detection with denoising diffusion probabilistic models using simplex noise (2022)
Unsupervised visual defect detection with score-based generative model (2023)
"""
LISTED_PAPERS = {
    "student_teacher/uninformed_students": "https://arxiv.org/pdf/2011.11108",
    "student_teacher/mkd": "https://arxiv.org/pdf/2011.11108",
    "student_teacher/stfpm": "https://arxiv.org/pdf/2103.04257",
    "student_teacher/reverse_distillation": "https://arxiv.org/pdf/2201.10703",
    "one_class/svdd": "https://link.springer.com/article/10.1023/B:MACH.0000008084.60811.49",
    "one_class/dn2": "https://arxiv.org/pdf/2002.10445",
    "one_class/patch_svdd": "https://arxiv.org/pdf/2006.16067",
    "one_class/droc": "https://arxiv.org/pdf/2011.02578",
}
# A small registry that keeps every rule; the tests below break one rule at a time.
SMALL = """
families:
  - {id: memory_bank, ko: 메모리 뱅크, en: Memory bank}
methods:
  - {id: memory_bank/old, name: Old, status: planned, listed: null, year: 2020, difficulty: 1}
  - id: memory_bank/new
    name: New
    status: written
    listed: {title: A paper (2022)}
    cite: new2022
    difficulty: 2
    builds_on: [memory_bank/old]
    headline: [{dataset: D, metric: AUROC, value: "99.0", unit: "%", source: Table 1, mark: V}]
    claims: [{id: better, source: Table 2, ko: 낫습니다., en: It is better.}]
"""
BIB = """
@article{new2022, title = {{A {N}ew Paper}}, author = {Ada Lovelace and van Rossum, Guido},
  journal = {Journal}, pages = {1--2}, year = {2022}, eprint = {2201.00001}}
"""


def contents() -> list[str]:
    """The document names in the table of contents."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    return [c["file"] for part in toc["parts"] for c in part["chapters"]]


def small(tmp_path: Path, *changes: tuple[str, str], bib: str = BIB) -> registry.Registry:
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "methods.yml").write_text(text, encoding="utf-8")
    (tmp_path / "references.bib").write_text(bib, encoding="utf-8")
    return registry.load(tmp_path / "methods.yml")


# --- the book's own registry ---------------------------------------------------------------------


def test_titles_and_order_are_the_reading_lists_own():
    lines = []
    for family in KNOWN.families.values():
        listed = [m.listed for m in KNOWN.of_family(family.id) if m.listed]
        if listed:
            lines.append(f"# {family.list_section}")
        lines += [f"{item.group} > {item.title}" if item.group else item.title for item in listed]
    assert lines == READING_LIST.strip().splitlines()


def test_links_are_the_reading_lists_own():
    listed = {m.id: m.listed for m in KNOWN.methods.values() if m.listed}
    assert {name: item.paper for name, item in listed.items() if item.paper} == LISTED_PAPERS
    blog = [item.summary for item in listed.values() if item.summary]
    assert blog == [f"https://sogsog.tistory.com/{n}" for n in range(53, 61)]
    assert [s.listed.paper for s in KNOWN.surveys] == [
        "https://www.mdpi.com/1424-8220/20/5/1459",
        "https://arxiv.org/abs/2301.11514",
    ]


def test_summaries_that_a_later_state_of_the_list_links_follow_the_listed_ones():
    later = {m.id: m.later_summary for m in KNOWN.methods.values() if m.later_summary}
    assert list(later.values()) == [f"https://sogsog.tistory.com/{n}" for n in range(61, 72)]
    for name in set(later) & {m.id for m in KNOWN.written()}:
        for language in LANGUAGES:
            assert later[name] in (BOOK / f"{name}.{language}.md").read_text(encoding="utf-8")


def test_the_lists_empty_sections_have_a_family_too():
    sections = [f.list_section for f in KNOWN.families.values() if not KNOWN.of_family(f.id)]
    assert sections == [
        "Supervised Learning",
        "Few-Shot Anomaly Detection",
        "Noisy Anomaly Detection",
        "3D Anomaly Detection",
        "Anomaly Synthesis",
        "Anomaly Detection with LLM and RAG",
    ]


def test_a_listed_link_to_another_paper_is_corrected():
    wrong = {
        method.id
        for method in KNOWN.methods.values()
        if method.listed
        and (number := re.search(r"arxiv\.org/pdf/(\S+)", method.listed.paper or ""))
        and number[1] != KNOWN.reference(method).arxiv
    }
    assert wrong == {c.about for c in KNOWN.corrections if c.kind == "link"}


def test_a_listed_year_other_than_the_papers_is_corrected():
    wrong = {
        paper.id if isinstance(paper, registry.Method) else paper.listed.title
        for paper in [*KNOWN.methods.values(), *KNOWN.surveys]
        if paper.listed
        and (year := re.search(r"\((\d{4})\)$", paper.listed.title))
        and int(year[1]) != KNOWN.reference(paper).year
    }
    assert wrong == {c.about or c.listed for c in KNOWN.corrections if c.kind == "date"}


@pytest.mark.parametrize("method", KNOWN.written(), ids=lambda m: m.id)
class TestAWrittenMethod:
    def test_has_its_files(self, method):
        assert (ROOT / f"{method.notebook}.ipynb").is_file()
        for language in LANGUAGES:
            assert (ROOT / f"{method.review}.{language}.md").is_file()

    def test_stands_in_the_contents_review_before_notebook(self, method):
        place = contents().index(method.review)
        assert contents()[place + 1] == method.notebook

    def test_has_a_paper_facts_and_claims(self, method):
        assert KNOWN.reference(method) is not None
        assert method.claims
        assert method.needs and method.gives

    def test_tests_exactly_the_claims_it_states(self, method):
        pieces = records.pieces(ROOT / f"{method.notebook}.ipynb")
        assert set(records.verdicts(pieces)) == {claim.id for claim in method.claims}


@pytest.mark.parametrize(
    ("method", "pieces"),
    [
        pytest.param(method, pieces, id=method.id)
        for method in KNOWN.written()
        if records.rows(pieces := records.pieces(ROOT / f"{method.notebook}.ipynb"))
    ],
)
def test_a_korean_name_is_of_something_that_the_notebook_measures(method, pieces):
    names = [row["name"] for row in records.rows(pieces)]
    names += [piece["title"] for piece in pieces if piece["kind"] == "table"]
    if random := records.report(pieces)["random_weights"]:
        names.append(random["name"])
    parts = {part for name in names for part in [name, *words.PART.split(name)]}
    assert set(method.measures) <= parts | {words.NUMBER.sub("#", part) for part in parts}


@pytest.mark.parametrize("method", [pytest.param(m, id=m.id) for m in KNOWN.written()])
def test_what_a_notebook_measures_and_its_licence_have_korean_names(method):
    pieces = records.pieces(ROOT / f"{method.notebook}.ipynb")
    names = [row["name"] for row in records.rows(pieces)]
    names += [piece["title"] for piece in pieces if piece["kind"] == "table"]
    report = records.report(pieces)
    assert report is not None, f"nothing is stored: run `make notebooks NB={method.id}`"
    names += [remark for remark in report["license"].split("; ") if "(" in remark]
    korean = [words.call(name, "ko", method.measures) for name in names]
    # Names of methods, layers and metrics stay in Latin letters, for the most part in capitals.
    assert [name for name in korean if re.search(r"\b[a-z]{4,}\b(?! al\b)", name)] == []


def test_a_planned_method_has_no_files_and_only_a_written_one_stands_in_the_contents():
    for method in KNOWN.methods.values():
        if method.status == "planned":
            assert not (ROOT / f"{method.notebook}.ipynb").exists(), method.id
            assert not list(BOOK.glob(f"{method.id}.*.md")), method.id
        if not method.written:
            assert not {method.review, method.notebook} & set(contents()), method.id


def test_every_notebook_is_of_a_written_method_or_a_draft():
    found = {
        path.relative_to(ROOT).with_suffix("").as_posix()
        for path in (ROOT / "notebooks").rglob("*.ipynb")
        if ".ipynb_checkpoints" not in path.parts
    }
    written = {method.notebook for method in KNOWN.written()}
    assert written <= found <= written | {method.notebook for method in KNOWN.drafts()}


def test_every_paper_can_be_found_by_a_reader():
    """Each bibliography entry of a method has a link, or a journal or publisher to look in."""
    for method in KNOWN.methods.values():
        reference = KNOWN.reference(method)
        if reference:
            assert reference.link or reference.venue, reference.key


def test_a_second_hand_number_never_looks_first_hand():
    second_hand = re.compile(r"re-typed|summar|leaderboard|aggregator|옮겨 적은|요약")
    for method in KNOWN.methods.values():
        for item in method.headline:
            for language in LANGUAGES:
                if second_hand.search(item.source[language]):
                    assert item.mark == "S", f"{method.id}: {item}"


def test_only_a_share_is_given_in_percent():
    """AUROC, AP, PRO, an accuracy are shares; a likelihood, a count or a gain has another unit."""
    for method in KNOWN.methods.values():
        for item in method.headline:
            share = re.fullmatch(
                r"(image|pixel) (AUROC|AP)|AUPRO|PRO\b.*|.* accuracy", item.metric["en"]
            )
            assert bool(share) == (item.unit["en"] == "%"), f"{method.id}: {item}"


# --- rules and messages --------------------------------------------------------------------------


def test_a_small_registry_is_read(tmp_path):
    known = small(tmp_path)
    new = known.method("memory_bank/new")
    assert new.written
    assert (new.year, new.review, new.notebook) == (
        2022,
        "book/memory_bank/new",
        "notebooks/memory_bank/new",
    )
    assert [m.id for m in known.leads_to("memory_bank/old")] == ["memory_bank/new"]
    assert (new.headline[0].value, new.headline[0].unit["ko"]) == ("99.0", "%")
    assert new.claims[0].text["ko"] == "낫습니다."
    reference = known.reference(new)
    assert reference.title == "A New Paper"
    assert reference.authors == ("Ada Lovelace", "Guido van Rossum")
    assert reference.pages == "1–2"
    assert reference.link == "https://arxiv.org/abs/2201.00001"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "difficulty: 2",
            "dificulty: 2",
            "memory_bank/new: dificulty: unknown key 'dificulty'; di",
        ),
        ("difficulty: 2", "dificulty: 2", "memory_bank/new: difficulty: is missing"),
        ("difficulty: 2", "difficulty: hard", "unknown value 'hard'; there are: 1, 2, 3"),
        ("difficulty: 2", "difficulty: 4", "difficulty: unknown value 4; there are: 1, 2, 3"),
        ("year: 2020", "year: soon", "memory_bank/old: year: must be a whole number, found 'soon'"),
        ("builds_on: [memory_bank/old]", "builds_on: memory_bank/old", "builds_on: must be a list"),
        ("status: written", "status: writen", "unknown value 'writen'; did you mean 'written'?"),
        ("cite: new2022", "cite: new2020", "'new2020'; did you mean 'new2022'?"),
        ("on: [memory_bank/old]", "on: [memory_bank/odl]", "did you mean 'memory_bank/old'?"),
        ("on: [memory_bank/old]", "on: [memory_bank/new]", "names the method itself"),
        ("year: 2020", "year: 2023", "memory_bank/old is of 2023, later than 2022"),
        ("year: 2020, ", "", "memory_bank/old: year: is missing"),
        ("id: memory_bank/new", "id: memory_bnk/new", "did you mean 'memory_bank'?"),
        ("id: memory_bank/new", "id: memory_bank/old", "memory_bank/old: stands there twice"),
        ("mark: V", "mark: M", "headline 1: mark: unknown value 'M'"),
        ('unit: "%", ', "", "memory_bank/new, headline 1: unit: is missing"),
        ('"99.0"', "99.0", "value: must be text, found 99.0"),
        ('"99.0"', '"≤ 99"', "value: must be a number between quotation marks"),
        ("ko: 낫습니다., ", "", "memory_bank/new, claims better: ko: is missing"),
        ("{id: better,", "{id: better, ids: x,", "claims better: ids: unknown key 'ids'; did"),
        ("(2022)}", "(2022), paper: 'http://x.org'}", "must be an address that begins with https"),
        ("title: A paper (2022)", "title: ''", "listed: title: must be text that is not empty"),
        (
            "    cite: new2022",
            "    later_summary: http://x.org\n    cite: new2022",
            "memory_bank/new: later_summary: must be an address that begins with https",
        ),
        (
            "listed: null, year",
            "listed: null, later_summary: 'https://x.org', year",
            "memory_bank/old: later_summary: the method is on no list",
        ),
        ("claims: [{", "claims: [better, {", "memory_bank/new: claims 1: must be a mapping, found"),
        ("claims: [{", "claims: [{id: better, source: x, ko: y, en: z}, {", "better: stands there"),
        (
            "year: 2020, ",
            "year: 2020, measures: {a: {ko: b}}, ",
            "measures: a: must be text, found",
        ),
        ("    name: New\n", "    name: New\n    name: Newer\n", "the key 'name' stands twice"),
        ("families:", "families", "not valid YAML"),
    ],
)
def test_a_broken_rule_is_named(tmp_path, old, new, message):
    with pytest.raises(registry.RegistryError) as error:
        small(tmp_path, (old, new))
    assert message in str(error.value)
    assert "methods.yml" in str(error.value)


def test_all_problems_are_named_at_once_whoever_finds_them(tmp_path):
    with pytest.raises(registry.RegistryError) as error:
        small(
            tmp_path,
            ("difficulty: 2", "difficulty: 5"),
            ("mark: V", "mark: X"),
            ("year: 2020", "year: 2020, builds_on: [memory_bank/nwe]"),
        )
    assert str(error.value).splitlines() == [
        "methods.yml: memory_bank/new: difficulty: unknown value 5; there are: 1, 2, 3",
        "methods.yml: memory_bank/new, headline 1: mark: unknown value 'X'; there are: V, S",
        "methods.yml: memory_bank/old: builds_on: unknown method 'memory_bank/nwe'; "
        "did you mean 'memory_bank/new'?",
    ]


def test_editors_find_the_schema_that_the_file_keeps():
    first, *_ = (BOOK / "methods.yml").read_text(encoding="utf-8").splitlines()
    name = first.removeprefix("# yaml-language-server: $schema=")
    assert (BOOK / name).resolve() == registry.SCHEMA


def test_a_draft_is_hidden_and_so_is_a_family_of_nothing_else(tmp_path):
    draft = ("status: planned", "status: draft")
    assert small(tmp_path, draft).hidden() == ["book/memory_bank/old", "notebooks/memory_bank/old"]
    known = small(tmp_path, draft, ("status: written", "status: planned"))
    assert "book/memory_bank/index" in known.hidden()
    assert not known.method("memory_bank/old").written
    assert [m.id for m in known.drafts()] == ["memory_bank/old"]
    assert small(tmp_path, ("status: written", "status: planned")).hidden() == []


def test_lineage_does_not_go_in_circles(tmp_path):
    circle = "year: 2022, difficulty: 1, builds_on: [memory_bank/new]"
    with pytest.raises(registry.RegistryError, match=r"goes round in a circle: .*old → .*new → "):
        small(tmp_path, ("year: 2020, difficulty: 1", circle))


def test_a_year_that_the_bibliography_gives_is_not_typed_twice(tmp_path):
    with pytest.raises(registry.RegistryError, match=r"year: stands in references\.bib already"):
        small(tmp_path, ("    cite: new2022", "    year: 2022\n    cite: new2022"))


@pytest.mark.parametrize(
    ("bib", "message"),
    [
        ("@article{new2022, title = {A}, author = {B}}", "new2022: 'year' is missing"),
        ("@article{new2022, title = {A}, year = {2022}}", "new2022: 'author' is missing"),
        ("@article{new2022, title = ", "not valid BibTeX"),
    ],
)
def test_a_broken_bibliography_is_named(tmp_path, bib, message):
    with pytest.raises(registry.RegistryError, match=message):
        small(tmp_path, bib=bib)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(registry.RegistryError, match=r"methods\.yml does not exist"):
        registry.load(tmp_path / "methods.yml")


def test_an_unknown_method_gets_the_nearest_name():
    with pytest.raises(registry.RegistryError, match="did you mean 'memory_bank/patchcore'"):
        KNOWN.method("memory_bank/patch_core")
    with pytest.raises(registry.RegistryError, match="did you mean 'memory_bank'"):
        KNOWN.of_family("memory_banks")


# --- records and costs ---------------------------------------------------------------------------


DIFFERENCE = {"value": 0.02, "low": 0.01, "high": 0.03}
REPORT = {
    "kind": "report",
    "default": True,
    "dataset": "elpv/mono",
    "metrics": {"image_auroc": 0.95},
    "baselines": {"mean grey": 0.6},
    "random_weights": {"name": "random:resnet18", "image_auroc": 0.7},
}
PIECES = [
    {
        "kind": "table",
        "title": "Coresets",
        "rows": [
            {"name": "AUROC at 1 %", "value": 0.9, "band": None, "verdict": None},
            {"name": "share flagged", "value": 0.05, "of": 40},
        ],
    },
    {"kind": "claim", "id": "better", "verdict": "undecided", "difference": DIFFERENCE},
    {"kind": "claim", "id": "better", "verdict": "reproduced", "difference": DIFFERENCE},
    {"kind": "claim", "id": "untested", "verdict": "not tested", "difference": None, "seeds": None},
    REPORT,
    REPORT | {"default": False, "dataset": "folder", "random_weights": None, "baselines": {}},
]


def notebook_with(pieces: list[dict]) -> dict:
    outputs = [{"output_type": "display_data", "metadata": {"book": p}} for p in pieces]
    outputs += [{"output_type": "stream", "text": "no record"}]
    return {"cells": [{"cell_type": "markdown"}, {"cell_type": "code", "outputs": outputs}]}


def test_records_come_out_of_the_outputs_metadata(tmp_path):
    path = tmp_path / "new.ipynb"
    path.write_text(json.dumps(notebook_with(PIECES)), encoding="utf-8")
    assert records.pieces(path) == PIECES
    assert records.pieces(notebook_with(PIECES)) == PIECES


def test_the_report_with_default_settings_and_the_last_verdict_count():
    assert records.report(PIECES)["dataset"] == "elpv/mono"
    assert records.report(PIECES[:4]) is None
    assert records.verdicts(PIECES)["better"]["verdict"] == "reproduced"


@pytest.mark.parametrize(
    ("verdict", "seeds", "counts"),
    [
        ("reproduced", ["reproduced"] * 5, "reproduced"),
        ("reproduced", ["reproduced"] * 4 + ["undecided"], "undecided"),
        ("not at this scale", ["not at this scale"] * 5, "not at this scale"),
        ("not at this scale", ["not at this scale"] * 4 + ["reproduced"], "undecided"),
        ("reproduced", None, "undecided"),
        ("not tested", None, "not tested"),
    ],
)
def test_a_verdict_counts_if_every_seed_gave_it(verdict, seeds, counts):
    assert records.verdict({"verdict": verdict, "seeds": seeds}) == counts


def test_every_measured_number_is_known_by_the_name_of_its_band():
    assert records.measured(PIECES) == {
        "image_auroc": 0.95,
        "baseline mean grey": 0.6,
        "random-weights baseline, random:resnet18": 0.7,
        "AUROC at 1 %": 0.9,
        "share flagged": 0.05,
        "claim better": 0.02,
        "claim untested": None,
    }
    assert records.of(PIECES) == {"share flagged": 40}


def test_a_missing_or_broken_notebook_is_named(tmp_path):
    with pytest.raises(records.RecordError, match=r"none\.ipynb: the notebook does not exist"):
        records.pieces(tmp_path / "none.ipynb")
    (tmp_path / "bad.ipynb").write_text("{}", encoding="utf-8")
    with pytest.raises(records.RecordError, match=r"bad\.ipynb is not a notebook"):
        records.pieces(tmp_path / "bad.ipynb")


def test_costs_are_read_by_method(tmp_path):
    path = tmp_path / "cost.yml"
    assert registry.costs(path) == {}
    path.write_text("notebooks:\n  memory_bank/new: {seconds: 12.5}\n", encoding="utf-8")
    assert registry.costs(path) == {"memory_bank/new": {"seconds": 12.5}}
