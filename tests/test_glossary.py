"""The glossary is the book's one list of terms, and the Korean text keeps to it."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
import registry
import schematics
import yaml
from glossary_links import LINK

ROOT = Path(__file__).resolve().parents[1]
GLOSSARY = ROOT / "book" / "guide" / "glossary"

# What a reader types into the search field, and must find here.
SEARCHED = (
    "결함 정상 이상 이상치 임계값 코어셋 엣지 모폴로지 우도 과검 미검 오탐 미탐 불량 양품 "
    "스크래치 크랙 쓰레숄드 EL 과적합 패치코어 축소판 담금질 보폭 "
    "coreset threshold outlier overkill defect normal likelihood heat&map"
)


@dataclass(frozen=True)
class Term:
    """One row of the glossary."""

    english: str
    korean: str
    meaning: str
    synonyms: tuple[str, ...]


def rows(language: str) -> list[Term]:
    """Every row of every table of the glossary, in order."""
    found = []
    for line in glossary(language).splitlines():
        line = LINK.sub(r"\1", line)
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if not line.startswith("|") or len(cells) != 4 or set(cells[0]) <= {"-"}:
            continue
        if {cells[0], cells[1]} == {"English", "한국어"}:
            continue
        english, korean = cells[:2] if language == "en" else cells[1::-1]
        synonyms = tuple(word.strip() for word in cells[3].split(","))
        found.append(Term(english, korean, cells[2], synonyms))
    return found


def glossary(language: str) -> str:
    """The page's source."""
    return GLOSSARY.with_name(f"glossary.{language}.md").read_text(encoding="utf-8")


# The glossary itself ------------------------------------------------------------------------


def test_both_languages_have_the_same_terms_and_synonyms_in_the_same_order() -> None:
    english, korean = ([(t.english, t.korean, t.synonyms) for t in rows(x)] for x in ("en", "ko"))
    assert len(english) > 100
    assert english == korean


@pytest.mark.parametrize("language", ["ko", "en"])
def test_every_row_is_complete_and_its_meaning_is_in_the_language_of_the_page(language) -> None:
    for term in rows(language):
        assert all([term.english, term.korean, term.meaning, *term.synonyms]), term
        assert bool(re.search("[가-힣]", term.meaning)) == (language == "ko"), term


def links(text: str) -> list[str]:
    """Names of the pages that a text links to, of `{ref}` and `{doc}`."""
    refs = re.findall(r"\{ref\}`[^`]*<(\w+?)-[\w-]+>`", text)
    return refs + re.findall(r"\{doc\}`[^`]*?(\w+)>`", text)


def test_the_links_of_a_text_are_the_pages_they_lead_to() -> None:
    text = (
        "{ref}`a b <uninformed_students-method>` {doc}`DN2 <../one_class/dn2>` {ref}`c <padim-x-y>`"
    )
    assert links(text) == ["uninformed_students", "padim", "dn2"]


@pytest.mark.parametrize("language", ["ko", "en"])
def test_no_term_links_to_a_method_that_is_not_written(language) -> None:
    methods = registry.load(ROOT / "book" / "methods.yml").methods.values()
    hidden = {method.id.partition("/")[2] for method in methods if not method.written}
    assert [name for name in links(glossary(language)) if name in hidden] == []


def test_every_word_stands_in_the_glossary_once() -> None:
    terms = rows("en")
    words = [w for t in terms for w in (t.english, t.korean, *t.synonyms)]
    count = Counter(word.casefold() for word in words)
    assert [word for word, times in count.items() if times > 1] == []


@pytest.mark.parametrize("word", [w.replace("&", " ") for w in SEARCHED.split()])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_the_words_that_readers_search_for_are_on_the_page(language, word) -> None:
    assert word.casefold() in glossary(language).casefold()


# The Korean text ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Rule:
    """A way of writing that the book does not use.

    `allowed` names documents (without suffix) where the word is the subject.
    """

    pattern: str
    preferred: str
    wrong: str  # an example that the pattern must catch
    right: str = ""  # an example that looks alike and must pass
    allowed: tuple[str, ...] = ()


RULES = (
    # likelihood; 경우도, 배우도록 and the like are other words
    Rule(
        r"(?<![가-힣])우도(?!록)|(?:로그|최대|음의) ?우도", "가능도", "최대우도 추정", "이런 경우도"
    ),
    Rule(r"이상인(?!지)", "이상", "이상인 이미지", "이상인지 정상인지"),
    Rule(r"이상치 ?(?:탐지|점수|맵|이미지)", "이상 탐지", "이상치 탐지", allowed=("corrections",)),
    Rule(r"이상 ?(?:감지|검출|지도)|이상도(?=[는를가 ])", "이상 탐지", "이상 감지", "결함 검출"),
    Rule(r"정상 ?분포", "정규 분포", "정상분포를", "정상 이미지의 분포"),
    Rule(r"질감", "텍스처", "표면의 질감"),
    Rule(r"임계값|문턱값|역치", "임곗값", "임계값을", "다단계 임계화"),
    Rule(r"최대값", "최댓값", "최대값", "최대 값"),
    Rule(r"최소값", "최솟값", "최소값"),
    Rule(r"초기값", "초깃값", "초기값"),
    Rule(r"엣지", "에지 검출", "엣지 추출"),
    Rule(r"형태학|모르폴로지", "모폴로지", "형태학 연산"),
    Rule(r"스켈레톤", "골격", "스켈레톤"),
    Rule(r"과검|위양성|거짓 양성", "오탐", "과검률", allowed=("thresholds",)),
    Rule(r"미검(?!사)|위음성|거짓 음성", "미탐", "미검", "미검사 로트", allowed=("thresholds",)),
    Rule(r"복원 ?오차|재건 오차|재구성오차", "재구성 오차", "복원 오차"),
    Rule(r"오토엔코더|자동 ?인코더|자기 ?부호화기", "오토인코더", "자동인코더"),
    Rule(r"변이형", "변분 오토인코더", "변이형 오토인코더"),
    Rule(r"노[말멀]라이징|정규화 플로", "정규화 흐름", "정규화 플로우"),
    Rule(r"결합 층|커플링 레이어", "커플링 층", "커플링 레이어"),
    Rule(r"코어세트|핵심 집합", "코어셋", "코어세트"),
    Rule(r"메모리뱅크", "메모리 뱅크", "메모리뱅크"),
    Rule(r"특징맵|피처 ?맵", "특징 맵", "특징맵"),
    Rule(r"이상맵|히트 ?맵", "이상 맵", "히트맵", "이상 맵"),
    Rule(r"데이터 ?세트|데이터 셋", "데이터셋", "데이터 세트", "테스트 세트"),
    Rule(r"최근접이웃|최근린", "최근접 이웃", "최근접이웃"),
    Rule(r"마하라노비스|마할라노비스거리", "마할라노비스 거리", "마하라노비스 거리"),
    Rule(r"컨볼루션|콘볼루션", "합성곱", "컨볼루션 층"),
    Rule(r"수용장|수용야", "수용 영역", "수용장"),
    Rule(r"파인 ?튜닝|미세조정", "미세 조정", "파인튜닝"),
    Rule(r"자가 ?지도|자기지도|자기 감독", "자기 지도", "자기지도 학습"),
    Rule(r"어블레이션|제거 실험|절제 연구", "절제 실험", "절제 연구"),
    Rule(r"베이스라인", "기준 방법", "베이스라인"),
    Rule(r"주의 ?메커니즘", "어텐션", "주의 메커니즘"),
    Rule(r"확산모델|디퓨전", "확산 모델", "디퓨전 모델"),
    Rule(r"에폭", "에포크", "열 에폭"),
    Rule(r"사전학습|사전 훈련", "사전 학습된", "사전학습된 모델"),
    Rule(r"원클래스|단일클래스|(?<!단)일 클래스", "단일 클래스 분류", "원클래스 분류"),
    Rule(r"선생|교사-학생", "교사–학생", "교사-학생 구조"),
    Rule(r"지식증류", "지식 증류", "지식증류"),
    Rule(r"잠재공간", "잠재 공간", "잠재공간"),
    Rule(r"그라운드 ?트루스", "정답", "그라운드 트루스"),
    Rule(r"국소화|국지화|로컬라이제이션", "위치 추정", "결함 국소화", "국소 이진 패턴"),
    Rule(r"세그멘테이션", "분할", "세그멘테이션"),
    Rule(r"(?:랜덤|임의) ?(?:투영|프로젝션)", "무작위 투영", "랜덤 투영"),
    Rule(r"크랙", "균열", "크랙", allowed=("own_data",)),
    Rule(r"스크래치|기스(?![가-힣])", "긁힘", "스크래치가", allowed=("own_data",)),
    Rule(r"핑거 (?:끊김|중단)", "핑거 단선", "핑거 끊김"),
    Rule(r"과잉 일반화", "과일반화", "과잉 일반화"),
    Rule(r"부호화(?!기)", "위치 인코딩", "위치 부호화", "자기부호화기"),
    Rule(r"모의 생성", "", "모의 생성한 직물"),
    Rule(r"단추", "", "언어 단추"),  # 버튼
    Rule(r"카테고리", "", "15개 카테고리"),  # 범주
    Rule(r"담금질", "어닐링", "손실의 담금질"),
    Rule(r"보폭", "스트라이드", "보폭 8의 격자"),
    Rule(
        r"(?<![가-힣])사상(?:[은는이가을를의]|으로|$|\s)", "변환", "가역 사상을", "사상자, 역사상"
    ),
    Rule(r"축소판|축소 이미지", "썸네일", "축소 이미지", "공분산의 축소"),
    Rule(r"조사 논문", "", "두 조사 논문"),  # 서베이
    # readers see a number or another page's title before the particle: end in a noun
    Rule(
        r"\{(?:eq|ref|doc)\}`[^`<]*`(?:은|는|이|가|을|를|와|과|로|으로)(?![가-힣])",
        "",
        "식 {eq}`eq-a`를",
        "식 {eq}`eq-a`의 방법을",
    ),
    # style rather than terms
    Rule(r"(?<![가-힣])우리는", "", "우리는 정상만 봅니다"),
    Rule(r"[가-힣]하라(?=[.!\s]|$)", "", "다시 실행하라.", "실행하라고 합니다"),
)

FENCE = re.compile(r" *(`{3,}|~{3,}|:{3,})\s*(?:\{([\w-]+)\})?")
PROSE_DIRECTIVES = {"figure", "quiz", "note", "tip", "warning", "important", "admonition"}
ROLE = r"(?P<kept>\{[\w:-]+\}`[^`\n]*`)"
NOT_PROSE = (
    re.compile(ROLE + r"|`[^`\n]*`|\$[^$]*\$|\[[^\]\n]*\]\(https?:[^)\s]*\)|https?:\S+"),
    re.compile(r"\"[^\"\n]{1,60}\"|“[^”\n]{1,60}”|'[^'\n]{1,40}'|‘[^’\n]{1,40}’"),
)


def blank(match: re.Match[str]) -> str:
    """As many blanks as there were signs; what the pattern calls `kept` stays."""
    return match.groupdict().get("kept") or re.sub(r"[^\n]", " ", match[0])


def prose(text: str) -> str:
    """The text with blanks for code, maths, addresses and quoted words."""
    lines = text.split("\n")
    closing = None  # the fence that ends the block of code we are in
    for i, line in enumerate(lines):
        fence = FENCE.match(line)
        if closing is not None:
            lines[i] = " " * len(line)
            if line.strip() == closing:
                closing = None
        elif fence and line.strip() != fence[1] and fence[2] not in PROSE_DIRECTIVES:
            lines[i], closing = " " * len(line), fence[1]
    text = "\n".join(lines)
    for pattern in NOT_PROSE:
        text = pattern.sub(blank, text)
    return text


@cache
def korean_texts() -> tuple[tuple[str, str, str], ...]:
    """(name of the document, where to look, text) of all Korean prose but the glossary."""
    texts = []
    for page in sorted([*ROOT.glob("book/**/*.ko.md"), ROOT / "README.ko.md"]):
        if page.exists() and page.name != "glossary.ko.md":
            where = page.relative_to(ROOT).as_posix()
            name = page.name.removesuffix(".ko.md")
            texts.append((name, where, page.read_text(encoding="utf-8")))
    for notebook in sorted(ROOT.glob("notebooks/**/*.ipynb")):
        where = notebook.relative_to(ROOT).as_posix()
        for i, cell in enumerate(json.loads(notebook.read_text(encoding="utf-8"))["cells"]):
            text = cell["metadata"].get("alt-ko", "")
            if "lang-ko" in cell["metadata"].get("tags", []):
                text = "".join(cell["source"])
            texts.append((notebook.stem, f"{where}, cell {i}", text))
    for drawing in sorted(ROOT.glob("book/_static/figures/*.svg")):
        for _, korean in schematics.texts(drawing.read_text(encoding="utf-8")):
            texts.append((drawing.stem, drawing.relative_to(ROOT).as_posix(), korean or ""))
    registry = ROOT / "book" / "methods.yml"
    if registry.exists():
        for where, text in korean_values(yaml.safe_load(registry.read_text(encoding="utf-8")), ""):
            texts.append(("methods", f"book/methods.yml, {where}", text))
    return tuple(texts)


def korean_values(node: object, where: str) -> Iterator[tuple[str, str]]:
    """Every string under a key `ko` of the registry."""
    if isinstance(node, dict):
        where = node.get("id", node.get("about", where))
        for key, value in node.items():
            if key == "ko" and isinstance(value, str):
                yield str(where), value
            else:
                yield from korean_values(value, str(where))
    elif isinstance(node, list):
        for value in node:
            yield from korean_values(value, where)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.wrong)
def test_the_korean_text_uses_the_terms_of_the_glossary(rule: Rule) -> None:
    found = []
    for name, where, text in korean_texts():
        if name in rule.allowed:
            continue
        lines = text.splitlines()
        for number, line in enumerate(prose(text).splitlines()):
            for match in re.finditer(rule.pattern, line):
                found.append(f"{where}:{number + 1}: {match[0]} in: {lines[number].strip()[:80]}")
    advice = f"write {rule.preferred}" if rule.preferred else "rephrase"
    assert not found, f"{advice}:\n" + "\n".join(found)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.wrong)
def test_each_rule_catches_its_example_and_spares_what_looks_alike(rule: Rule) -> None:
    assert re.search(rule.pattern, rule.wrong)
    assert not re.search(rule.pattern, rule.right)
    assert not re.search(rule.pattern, rule.preferred)


def test_what_the_rules_prefer_is_a_term_of_the_glossary() -> None:
    korean = {term.korean for term in rows("ko")}
    spelling = {"최댓값", "최솟값", "초깃값"}
    assert {rule.preferred for rule in RULES} - spelling - {""} <= korean


def test_quotations_code_and_addresses_are_not_judged() -> None:
    text = (
        '검색창에 "임계값"을 넣으세요. {doc}`용어 <a>`와 `임계값` $임계값$\n'
        "```python\n# 임계값\n```\n"
        "```{figure} a.svg\n:alt: 그림의 글은 봅니다\n```\n임곗값"
    )
    assert "임계값" not in prose(text)
    assert "용어" in prose(text)
    assert "그림의 글은 봅니다" in prose(text)
    assert prose(text).endswith("임곗값")
    assert len(prose(text)) == len(text)
