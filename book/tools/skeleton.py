"""What `make new` writes: a notebook, a test file and pages with every piece that a method needs.

The notebook runs as it is. In place of the method stands the simplest one that has all its pieces:
the distance from the mean normal feature at the same place. MARK stands where the author writes.
"""

import nbformat
import registry
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook
from stored import METADATA

MARK = "TODO(author)"

# --- The notebook's code: lines of at most 80 characters, cells of at most 20 lines --------------

IMPORTS = """\
import numpy as np
import torch
import torch.nn.functional as F

from helpers import backbones, baselines, data, exercises, metrics, plot, report"""

PARAMETERS = """\
dataset = "elpv"  # the paper: MVTec AD; your own images: "folder"
category = None  # None: the data set's first
root = None  # where your own images lie
image_size = 256  # TODO(author): the paper's value
backbone = "efficientnet_lite0"  # TODO(author): the paper's network
device = "auto"
seed = 0
subset = "quick"  # "all": all images of the data set"""

START = """\
run = report.start("{id}", version="")"""

DATA = """\
train, test = data.load(
    dataset,
    category,
    root=root,
    image_size=image_size,
    subset=subset,
)
fit, calibration = data.hold_out(train, 0.2)
print(data.summary(fit, calibration, test))
plot.show(plot.examples(test), photo=True)"""

EXTRACT = """\
def extract(network, images, grid):
    \"\"\"uint8 (N, H, W, 3) -> features (N, *grid, C), on the CPU.\"\"\"
    parts = []
    for start in range(0, len(images), 16):
        (level,) = network.features(images[start : start + 16])  # (n, C, h, w)
        level = F.adaptive_avg_pool2d(level, grid)
        parts.append(level.permute(0, 2, 3, 1).cpu())
    return torch.cat(parts)


network = backbones.load(
    backbone,
    strides=(16,),
    device=run.device,
    seed=seed,
)
grid = (-(-image_size // 16),) * 2
print("channels", network.channels, "grid", grid)"""

METHOD = """\
def distances(features, mean):
    \"\"\"(N, h, w, C) and the mean (h, w, C) -> distances (N, h, w).\"\"\"
    return (features - mean).square().sum(dim=3).sqrt()


def anomaly_maps(grids, size):
    \"\"\"(N, h, w) -> (N, size, size), enlarged bilinearly.\"\"\"
    large = F.interpolate(grids[:, None], size=(size, size), mode="bilinear")
    return large[:, 0].numpy()


def image_scores(maps):
    \"\"\"(N, H, W) -> (N,), the maximum of each map.\"\"\"
    return maps.max(axis=(1, 2))"""

FIDELITY = """\
def check_fidelity(seed=0):
    \"\"\"Raise AssertionError if a defining equation does not hold.\"\"\"
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(3, 2, 4, 5, generator=generator)
    mean = torch.randn(2, 4, 5, generator=generator)
    found = distances(features, mean)  # (3, 2, 4)
    for i, h, w in np.ndindex(3, 2, 4):
        want = np.linalg.norm(features[i, h, w] - mean[h, w])
        assert abs(float(found[i, h, w]) - want) < 1e-5, "not the distance"
    row = anomaly_maps(torch.tensor([[[0.0, 1.0]] * 2]), 4)[0, 0]
    assert np.allclose(row, [0, 0.25, 0.75, 1]), "map: not bilinear"
    scores = image_scores(found.numpy())
    assert np.allclose(scores, found.flatten(1).max(dim=1).values), "score"
    print("distances, maps and scores are those of the formulas")


check_fidelity()"""

SCORES = """\
fit_features, calibration_features, test_features = (
    extract(network, part.images, grid) for part in (fit, calibration, test)
)
mean = fit_features.mean(dim=0)  # (h, w, C), all that is remembered
maps = anomaly_maps(distances(test_features, mean), image_size)
scores = image_scores(maps)
calibration_grids = distances(calibration_features, mean)
calibration_scores = image_scores(anomaly_maps(calibration_grids, image_size))
print("maps", maps.shape, "scores", scores.shape)
plot.show(plot.gallery(test, maps), photo=True)"""

FLAGGED = """\
rate = max(0.05, 1 / (len(calibration) + 1))  # few images cannot promise 5 %
threshold = metrics.threshold_from_normals(
    calibration_scores,
    false_positive_rate=rate,
)
normal = metrics.images_to_rank(test) & (test.labels == 0)
run.table(
    "Flagged as anomalous",
    {"false positives among normal": scores[normal] > threshold},
)"""

RANDOM = """\
random_network = backbones.load(
    "random:" + backbone.removeprefix("random:"),
    strides=(16,),
    device=run.device,
    seed=0,
)
random_fit = extract(random_network, fit.images, grid)
random_test = extract(random_network, test.images, grid)
random_grids = distances(random_test, random_fit.mean(dim=0))
random_scores = image_scores(anomaly_maps(random_grids, image_size))
random_auroc = metrics.image_auroc(test, random_scores)"""

RESULT = """\
simple = baselines.trivial(fit, test)
run.report(
    metrics.evaluate(test, scores, maps),
    train=fit,
    test=test,
    threshold=threshold,
    baselines={k: metrics.image_auroc(test, v) for k, v in simple.items()},
    random_weights=(random_network.name, random_auroc),
    weights=network.weights,
)
run.save_scores(test, scores, threshold=threshold)"""

CLAIM = """\
shared = mean.mean(dim=(0, 1), keepdim=True)  # (1, 1, C): no places
shared_maps = anomaly_maps(distances(test_features, shared), image_size)
shared_scores = image_scores(shared_maps)
run.table(
    "With and without places",
    {{
        "AUROC, a mean at each place": metrics.image_auroc(test, scores),
        "AUROC, one mean": metrics.image_auroc(test, shared_scores),
    }},
)
difference = metrics.compare(test, scores, shared_scores)
run.claim("{claim}", difference, above=0.0)"""

FAILS = """\
shifted = np.roll(test.images, 32, axis=2)  # two cells of the grid
shifted_grids = distances(extract(network, shifted, grid), mean)
shifted_scores = image_scores(anomaly_maps(shifted_grids, image_size))
run.table(
    "Every image shifted by 32 pixels",
    {"AUROC, shifted": metrics.image_auroc(test, shifted_scores)},
)"""

EXERCISE_1 = """\
def area_above(anomaly_map, threshold):
    \"\"\"(H, W) -> the share of pixels above the threshold.\"\"\"
    return None  # <- change this line"""

SOLUTION_1 = """\
def area_above(anomaly_map, threshold):
    return (anomaly_map > threshold).mean()"""

CHECK_1 = """\
three = np.array([[0.2, 0.9], [0.6, 0.5], [0.7, 0.1]])  # three of six
exercises.check(
    "1 area_above",
    area_above,
    exercises.shape((three, 0.5), ()),
    exercises.agrees((three, 2.0), 0.0, message="nothing is above 2"),
    exercises.agrees((three, 0.4), 4 / 6, message="a share, not a number"),
    exercises.agrees((three, 0.5), 3 / 6, message="0.5 is not above 0.5"),
)"""

EXERCISE_2 = """\
def running_mean(batches):
    \"\"\"List of arrays (n_i, d) -> the mean (d,) of all their rows.\"\"\"
    ..."""

SOLUTION_2 = """\
def running_mean(batches):
    count, mean = 0, 0.0
    for batch in batches:
        count += len(batch)
        mean = mean + (batch - mean).sum(axis=0) / count
    return mean"""

CHECK_2 = """\
one = [np.array([[1.0, 5.0], [3.0, 1.0]])]
two = [*one, np.array([[8.0, 0.0]])]  # of different lengths
exercises.check(
    "2 running_mean",
    running_mean,
    exercises.shape((one,), (2,)),
    exercises.agrees((one,), [2, 3], message="the mean of one batch"),
    exercises.agrees((two,), [4, 2], message="every row counts as much"),
)"""

#: Korean and English text of a section whose words are the same in every notebook.
SETUP = (
    "첫 셀은 Colab에서만 실행됩니다. 그다음은 매개변수입니다. 여기 값을 바꾸면 아래가 모두 그 "
    "값으로 돌아갑니다.",
    "The first cell only works in Colab. The parameters come next; everything below follows what "
    "you set there.",
)
PREDICT = (
    "{todo}\n\n**먼저 예상해 보세요.** {todo} 답을 적어 두고 아래로 내려가세요.",
    "{todo}\n\n**Predict first.** {todo} Write your answers down, then go on.",
)
TABLE = "| | {0} | {1} | {2} |\n|---|---|---|---|\n| {todo} | | | |"
OWN_DATA = (
    "매개변수 셀에서 두 줄만 바꾸면 됩니다. 양품 이미지만 든 폴더여도 됩니다.\n\n{code}\n\n{todo}: "
    "논문의 설정\n\n**정리**\n\n- {todo}\n- {todo}\n- {todo}",
    "Two lines of the parameters cell are all. A folder of good images alone will do.\n\n{code}"
    "\n\n{todo}: the paper's setting\n\n**To take away**\n\n- {todo}\n- {todo}\n- {todo}",
)
OWN_DATA_CODE = '```python\ndataset = "folder"\nroot = "path/to/images"\n```'

ALT = {"alt-ko": f"{MARK}: 그림 설명", "alt-en": f"{MARK}: what the figure shows"}


def title_source(method: registry.Method, reference: registry.Reference | None) -> str:
    """The notebook's first cell: name, paper, and where to read it, as the registry has them."""
    if reference is None:
        return f"# {method.name}"
    paper = f"{', '.join(reference.authors)}: *{reference.title}*, {reference.year}."
    if link := reference.link:
        shown = f"arXiv:{reference.arxiv}" if reference.arxiv else link.split("://")[1]
        paper += f" [{shown}]({link})"
    return f"# {method.name}\n\n{paper}"


def notebook(
    method: registry.Method, reference: registry.Reference | None, first: str
) -> nbformat.NotebookNode:
    """A notebook with every section; it runs, with a stand-in where the method will be.

    Args:
        method: the registry's entry; its first claim is the one that the notebook tests.
        reference: the paper.
        first: source of the set-up cell.
    """
    cells = [new_markdown_cell(title_source(method, reference))]

    def prose(slug: str, korean: str, english: str, texts: tuple[str, str] = (MARK, MARK)) -> None:
        for language, heading, text in (("ko", korean, texts[0]), ("en", english, texts[1])):
            metadata = {"tags": [f"lang-{language}"], "section": slug}
            source = f"## {heading}\n\n{text}".replace("{todo}", MARK)
            cells.append(new_markdown_cell(source, metadata=metadata))

    def code(*sources: str, **metadata: object) -> None:
        cells.extend(new_code_cell(source, metadata=metadata) for source in sources)

    def exercise(number: int, stub: str, solution: str, check: str) -> None:
        texts = (_folded(solution, "힌트", "풀이"), _folded(solution, "Hint", "Solution"))
        titles = (f"연습 문제 {number}: {MARK}", f"Exercise {number}: {MARK}")
        prose(f"exercise-{number}", *titles, texts)
        code(stub, check)

    prose("setup", "준비", "Set-up", SETUP)
    code(first, IMPORTS)
    code(PARAMETERS, tags=["parameters"])
    code(START.format(id=method.id))
    prose("predict", "무엇을 보게 되나", "What you will see", PREDICT)
    prose("data", "데이터", "Data")
    code(DATA, **ALT)
    prose("features", "특징", "Features")
    code(EXTRACT)
    equation = "\n\n$$A(h,w)=\\lVert f(h,w)-\\mu(h,w)\\rVert_2,\\qquad s=\\max_{h,w}A(h,w)$$"
    prose("method", "방법", "The method", (MARK + equation,) * 2)
    code(METHOD, FIDELITY)
    prose("scores", "점수와 이상 맵", "Scores and maps")
    code(SCORES, **ALT)
    exercise(1, EXERCISE_1, SOLUTION_1, CHECK_1)
    prose("threshold", "임곗값", "The threshold")
    code(FLAGGED)
    prose("result", "결과", "Result")
    code(RANDOM, RESULT)
    prose("matters", "무엇이 중요한가", "What matters")
    claim = method.claims[0].id if method.claims else MARK
    code(CLAIM.format(claim=claim))
    seen = ("{todo}: 예상과 견주기", "{todo}: come back to the prediction, with what was seen")
    prose("seen", "예상과 견주어 보면", "Against the prediction", seen)
    prose("fails", "실패하는 사례", "Where it fails")
    code(FAILS)
    exercise(2, EXERCISE_2, SOLUTION_2, CHECK_2)
    tables = (TABLE.format("논문", "이 노트북", "치르는 값", todo=MARK),)
    tables += (TABLE.format("paper", "this notebook", "what it costs", todo=MARK),)
    prose("smaller", "작게 만든 것", "What was made smaller", tables)
    own = tuple(text.replace("{code}", OWN_DATA_CODE) for text in OWN_DATA)
    prose("own-data", "내 데이터로", "On your own data", own)
    made = new_notebook(cells=cells, metadata=METADATA)
    for number, cell in enumerate(made.cells):  # stable, so that a layout can be compared
        cell.id = f"cell-{number:02d}"
    return made


def _folded(solution: str, hint: str, answer: str) -> str:
    """The words of an exercise: what is asked, three hints, the solution."""
    parts = [(f"{hint} {number}", MARK) for number in (1, 2, 3)]
    parts.append((answer, f"```python\n{solution}\n```"))
    return "\n\n".join(
        [MARK, *(f"<details>\n<summary>{a}</summary>\n\n{b}\n\n</details>" for a, b in parts)]
    )


# --- The test file --------------------------------------------------------------------------------

TEST = '''\
"""{name}'s notebook: its equations are guarded, its exercises tell right from wrong.

{mark}: break every defining equation; for each exercise, another right answer and three
typical wrong ones.
"""

from pathlib import Path

import numpy as np
import pytest
from exercise_tests import ExerciseTests
from notebook_loader import definitions

PATH = Path(__file__).resolve().parents[2] / "notebooks/{id}.ipynb"


# --- the equations ------------------------------------------------------------------------------


def test_the_check_passes_on_the_notebook_as_it_is():
    for seed in range(3):
        definitions(PATH).check_fidelity(seed)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("(features - mean)", "(features + mean)"),
        (".square().sum(dim=3).sqrt()", ".square().sum(dim=3)"),
        (', mode="bilinear"', ', mode="nearest"'),
        ("maps.max(axis=(1, 2))", "maps.mean(axis=(1, 2))"),
    ],
)
def test_a_broken_equation_does_not_pass_the_check(old, new):
    broken = definitions(PATH, replace={{old: new}})
    with pytest.raises(AssertionError):
        broken.check_fidelity()


# --- the exercises ------------------------------------------------------------------------------


NAMES = ("area_above", "running_mean")
OTHERS = {{
    "area_above": lambda m, t: np.count_nonzero(m > t) / m.size,
    "running_mean": lambda batches: np.concatenate(batches).mean(axis=0),
}}
WRONG = (
    ("area_above", lambda m, t: m > t, "expected shape ()"),
    ("area_above", lambda m, t: (m > t).sum(), "a share, not a number"),
    ("area_above", lambda m, t: (m >= t).mean(), "0.5 is not above 0.5"),
    ("running_mean", lambda b: np.concatenate(b).mean(), "expected shape (2,)"),
    ("running_mean", lambda b: np.concatenate(b).sum(axis=0), "the mean of one batch"),
    (
        "running_mean",
        lambda b: np.mean([x.mean(axis=0) for x in b], axis=0),
        "every row counts as much",
    ),
)


class TestExercises(ExerciseTests):
    path, names, others, wrong = PATH, NAMES, OTHERS, WRONG
'''


def test_file(method: registry.Method) -> str:
    """Source of tests/methods/test_<method>.py for the skeleton's notebook."""
    return TEST.format(name=method.name, id=method.id, mark=MARK)


# --- The pages -----------------------------------------------------------------------------------

REVIEW = (
    ("card", "한눈에 보기", "At a glance", "```{{method-card}} {id}\n```"),
    (
        "summary",
        "한 문단 요약",
        "In one paragraph",
        "{todo}: problem, idea, gain",
    ),
    (
        "picture",
        "그림으로 보는 아이디어",
        "The idea in a picture",
        "{todo}: one figure of our own in book/_static/figures, with alt text",
    ),
    (
        "method",
        "작동 원리",
        "How it works",
        "{todo}: notation, training, inference; every equation explained\n\n"
        "```{{math}}\n:label: eq-{page}-score\ns=\\max_{{h,w}}A(h,w)\n```",
    ),
    ("paper", "논문이 보고한 결과", "What the paper reports", "```{{headline}} {id}\n```"),
    (
        "measured",
        "이 책의 측정값",
        "What we measured",
        "```{{stored-figure}} {id} scores\n{todo}: what the gallery shows; a second "
        "figure where it carries the idea\n```\n\n"
        "```{{measured}} {id}\n```\n\n```{{claims-table}} {id}\n```",
    ),
    (
        "critical",
        "비판적으로 읽기",
        "Read critically",
        "{todo}: strengths, limits",
    ),
    (
        "practice",
        "실무에서",
        "In practice",
        "{todo}: when, at what cost",
    ),
    ("family", "계열 안의 관계", "Family ties", "{todo}: what it took, what took from it"),
    (
        "quiz",
        "퀴즈",
        "Quiz",
        '```{{quiz}}\n- q: "{todo}"\n  options:\n    - text: "{todo}: right"\n      right: true\n'
        '      why: "{todo}"\n'
        '    - text: "{todo}: wrong"\n      right: false\n      why: "{todo}"\n```',
    ),
)
FAMILY = (
    ("belief", "이 계열이 믿는 것", "What the family believes", "{todo}: two paragraphs"),
    ("timeline", "어떻게 발전했나", "How it developed", "{todo}: a line for each method"),
    ("table", "방법 비교", "The methods side by side", "```{{family-table}} {id}\n```"),
    ("choose", "고르는 법", "How to choose", "{todo}"),
    ("pitfalls", "세 가지 함정", "Three pitfalls", "{todo}"),
    ("order", "읽는 순서", "Order to read in", "{todo}"),
)


def review(method: registry.Method, language: str) -> str:
    """The review's page with all its sections."""
    page = method.id.split("/")[1]
    return _page(page, method.title(language), REVIEW, language, id=method.id)


def family_page(family: registry.Family, language: str) -> str:
    """The family's page with all its sections."""
    return _page(family.id, family.name[language], FAMILY, language, id=family.id)


def _page(page: str, title: str, sections: tuple, language: str, **names: str) -> str:
    parts = [f"({page})=\n# {title}\n"]
    for slug, korean, english, body in sections:
        heading = korean if language == "ko" else english
        text = body.format(todo=MARK, page=page, **names)
        parts.append(f"({page}-{slug})=\n## {heading}\n\n{text}\n")
    return "\n".join(parts)
