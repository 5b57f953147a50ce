"""Words of the interface, in both languages."""

import re
from collections.abc import Mapping

#: Words of the interface: name -> (Korean, English).
WORDS = {
    "paper": ("논문", "Paper"),
    "authors": ("저자", "Authors"),
    "venue": ("발표", "Published"),
    "preprint": ("arXiv", "arXiv"),
    "links": ("링크", "Links"),
    "official code": ("공식 코드", "official code"),
    "no official code": ("공식 코드 없음", "no official code"),
    "notebook": ("노트북", "Notebook"),
    "review": ("리뷰", "review"),
    "open in Colab": ("Colab에서 열기", "open in Colab"),
    "difficulty": ("난이도", "Difficulty"),
    "difficulty 1": ("쉬움", "easy"),
    "difficulty 2": ("보통", "medium"),
    "difficulty 3": ("어려움", "hard"),
    "prerequisites": ("먼저 읽기", "Read first"),
    "necessary": ("필수", "necessary"),
    "helpful": ("도움이 됨", "helpful"),
    "none": ("없음", "none"),
    "cost": ("실행 비용", "Cost of a run"),
    "seconds": ("{}초", "{} s"),
    "memory": ("메모리 {} MB", "{} MB of memory"),
    "threads": ("스레드 {}개", "threads: {}"),
    "expected": ("기대 결과", "Expected result"),
    "builds on": ("바탕이 된 방법", "Builds on"),
    "leads to": ("이어지는 방법", "Leads to"),
    "summary": ("한국어 블로그 요약", "summary in Korean (blog)"),
    "later summary": (
        "한국어 블로그 요약(목록에 나중에 추가)",
        "summary in Korean (blog, listed later)",
    ),
    "planned": ("준비 중", "planned"),
    "beyond the list": ("목록 밖", "beyond the list"),
    "no record": (
        "아직 실행 기록이 없습니다. 노트북을 한 번 실행하면 여기에 결과가 나타납니다.",
        "No record yet. The result appears here once the notebook has been run.",
    ),
    "metric": ("지표", "Metric"),
    "measured": ("측정값 [95 % 구간]", "Measured [95 % interval]"),
    "value": ("값", "Value"),
    "band": ("기대 범위", "Expected band"),
    "verdict": ("판정", "Verdict"),
    "in band": ("범위 안", "in band"),
    "out of band": ("범위 밖", "out of band"),
    "no band": ("범위 없음", "no band"),
    "not available": ("측정 불가: {}", "not available: {}"),
    "baseline": ("기준 방법: {}", "Baseline: {}"),
    "random weights": ("무작위 가중치 기준: {}", "Random-weights baseline: {}"),
    "random weights of": ("{}의 무작위 가중치 기준", "Random-weights baseline of {}"),
    "dataset": ("데이터셋", "Data set"),
    "data line": (
        "학습에 정상 이미지 {train}장, 테스트에 {test}장",
        "{train} normal images to fit, {test} images to test",
    ),
    "licence of the data": ("데이터 라이선스", "Licence of the data"),
    "more measured": ("노트북의 다른 측정값", "Other values measured in the notebook"),
    "settings": ("설정과 환경", "Settings and environment"),
    "setting": ("설정", "Setting"),
    "fingerprint": ("데이터 지문", "Data fingerprint"),
    "weights": ("가중치", "Weights"),
    "count threads": ("스레드", "Threads"),
    "threshold": ("임곗값", "Threshold"),
    "claim": ("주장", "Claim"),
    "source": ("출처", "Source"),
    "difference": ("차이 [95 % 구간]", "Difference [95 % interval]"),
    "needed": ("기준: {} 초과", "rule: above {}"),
    "reproduced": ("재현됨", "reproduced"),
    "undecided": ("판단 보류", "undecided"),
    "not at this scale": ("이 규모에서는 확인되지 않음", "not at this scale"),
    "not tested": ("검증하지 않음", "not tested"),
    "no verdict": ("기록 없음", "no record"),
    "all": ("모두", "all"),
    "total": ("합계", "Total"),
    "shown claims": ("주장 {1}개 중 {0}개가 보입니다.", "{0} of {1} claims are shown."),
    "link to claim": ("이 주장의 링크", "Link to this claim"),
    "source of claim": ("출처: {}", "Source: {}"),
    "csv": ("표 내려받기(CSV)", "Download the table (CSV)"),
    "chance": ("0.5 = 우연", "0.5 = chance"),
    "whiskers": (
        "이미지 AUROC와 95 % 구간을 한 축에 나란히 그렸습니다. 같은 숫자가 아래 표에 있습니다.",
        "Image AUROC with its 95 % interval, all on one axis. The numbers are in the table below.",
    ),
    "from the notebook": ("노트북에서 보기", "See it in the notebook"),
    "pictures": ("이미지", "Images"),
    "seeds": ("시드 {1}개 중 {0}개", "{0} of {1} seeds"),
    "lowest and highest": (
        "시드 {}개에서 나온 가장 작은 값과 가장 큰 값입니다.",
        "The lowest and the highest value of {} seeds.",
    ),
    "one seed": ("시드 1개", "one seed"),
    "seed mean": ("평균", "Mean"),
    "before the next": ("다음 방법과의 차이", "Ahead of the next"),
    "seeds before": ("다음 방법에 앞선 시드", "Seeds ahead of the next"),
    "seeds before thumbnails": ("썸네일에 앞선 시드", "Seeds ahead of thumbnails"),
    "all claims": ("주장 {}개", "{} claims"),
    "method": ("방법", "Method"),
    "family": ("계열", "Family"),
    "rank": ("순위", "Rank"),
    "year": ("연도", "Year"),
    "needs": ("필요한 것", "Needs"),
    "gives": ("얻는 것", "Gives"),
    "result": ("결과(이미지 AUROC)", "Result (image AUROC)"),
    "time": ("시간", "Time"),
    "memory column": ("메모리", "Memory"),
    "file": ("파일 크기", "File size"),
    "status": ("상태", "Status"),
    "written": ("완성", "written"),
    "numbers of the paper": ("논문이 보고한 수치", "Numbers the paper reports"),
    "as reported by": ("재인용: {}", "as reported by {}"),
    "no numbers": (
        "확인된 수치가 없어 싣지 않습니다.",
        "No number that we could verify, so none is printed.",
    ),
    "listed": ("목록의 표기", "The list says"),
    "correct": ("올바른 정보", "Correct"),
    "explanation": ("설명", "Explanation"),
    "about": ("대상", "About"),
    "kind link": ("링크", "link"),
    "kind spelling": ("표기", "spelling"),
    "kind date": ("연도", "date"),
    "kind note": ("참고", "note"),
    "corrected": ("바로잡음: {}", "corrected: {}"),
    "surveys": ("서베이 논문", "Survey papers"),
    "nothing measured": (
        "아직 순위를 매길 결과가 없습니다.",
        "There is no result to rank yet.",
    ),
    "tied": ("1위와 구간이 겹침", "interval overlaps the first"),
    "group": ("{dataset} · 지문 {fingerprint}", "{dataset} · fingerprint {fingerprint}"),
    "field map": ("분야 지도", "Map of the field"),
    "field map help": (
        "채운 상자는 완성된 방법이고 나머지는 준비 중입니다. 선은 어떤 방법이 어떤 방법의 "
        "아이디어를 이어받았는지를 이 책의 해석대로 나타냅니다. 상자를 가리키면 준비 중인 방법과 "
        "이어지는 선도 나타납니다.",
        "Filled boxes are written, the others planned. A line says, in this book's reading, which "
        "method takes up the idea of which. Point at a box to see its lines to planned methods.",
    ),
    "before": ("~{}", "–{}"),
    "since": ("{}~", "{}–"),
    "question": ("문제 {}", "Question {}"),
    "right": ("정답:", "Right:"),
    "wrong": ("오답:", "Wrong:"),
    "count train": ("학습 이미지", "training images"),
    "count test": ("테스트 이미지", "test images"),
    "count anomalous": ("이상 이미지", "anomalous images"),
    "count image_normal": ("이미지 지표: 정상", "image metrics: normal"),
    "count image_anomalous": ("이미지 지표: 이상", "image metrics: anomalous"),
    "count pixel_images": ("픽셀 지표: 모든 이미지", "pixel metrics: all images"),
    "count pixel_anomalous": ("픽셀 지표: 이상", "pixel metrics: anomalous"),
    "count regions": ("결함 영역", "defect regions"),
    "count rendered_used_for_image_metrics": (
        "이미지 지표에 그려 넣은 결함을 썼는지(0 또는 1)",
        "image metrics use rendered defects (0 or 1)",
    ),
    "no comparison": (
        "아직 이 계열의 비교 기록이 없습니다.",
        "There is no comparison record of this family yet.",
    ),
    "interval of": ("{} [95 % 구간]", "{} [95 % interval]"),
    "random to own": (
        "이미지 AUROC: 무작위 가중치 → 본래 가중치",
        "Image AUROC: random weights → the method’s own",
    ),
    "speed": (
        "메가픽셀/초, 코어 하나. 읽기와 설명용 셀을 포함해 시작부터 결과까지입니다.",
        "Megapixels a second on one core, from the start to the result, reading and teaching cells "
        "included.",
    ),
    "fewer images": (
        "정상 이미지 수에 따른 이미지 AUROC, {}",
        "Image AUROC by the number of normal images, {}",
    ),
    "curve": (
        "정상 이미지 수에 따른 이미지 AUROC 꺾은선 그래프. {}. 숫자는 아래 표에 있습니다.",
        "Line chart of the image AUROC by the number of normal images. {}. "
        "The numbers are in the table below.",
    ),
    "curve of": (
        "{0}: {1}장에서 {2}, {3}장에서 {4}",
        "{0}: {2} with {1} images, {4} with {3}",
    ),
    "images": ("{}장", "{} images"),
    "by kind": ("결함 종류별 이미지 AUROC, {}", "Image AUROC of each kind of defect, {}"),
    "contrast": ("대비", "contrast"),
    "contrast by": (
        "{0}: {1}에 따른 대비, {2}. "
        "대비는 결함 이미지 점수의 중앙값을 정상 이미지 점수의 중앙값으로 나눈 값입니다.",
        "{0}: contrast by {1}, {2}. The contrast is the median score of the defective images over "
        "that of the normal ones.",
    ),
    "median normal": ("점수의 중앙값, 정상", "median score, normal"),
    "median anomalous": ("점수의 중앙값, 결함", "median score, defective"),
    "normal images": ("정상 이미지(장)", "normal images to fit"),
    "made on": (
        "{}에, 그날의 노트북 코드로 잰 값입니다.",
        "Made on {} with the notebooks' code of that day.",
    ),
    "made between": (
        "{}부터 {}까지, 그때그때의 노트북 코드로 잰 값입니다.",
        "Made between {} and {}, each row with its notebook's code of the day.",
    ),
    "planned papers": ("준비 중인 논문 {}편", "{} papers are planned"),
    "the image": ("사진", "photograph"),
    "front photo": (
        "태양전지 셀의 사진. 대각선으로 뻗은 균열과 오른쪽 아래의 어두운 조각이 보입니다.",
        "Photograph of a solar cell with diagonal cracks and a dark fragment at the lower right.",
    ),
    "front map": ("같은 셀의 {} 이상 맵", "Anomaly map of the same cell by {}"),
    "count": ("{}개", "{}"),
    "front methods": (
        "리뷰와 노트북을 모두 갖춘 방법. {}개는 준비 중입니다.",
        "methods, each with a review and a notebook; {} more are planned",
    ),
    "front claims": (
        "시험해 본 논문의 주장. 재현됨 {}, 이 규모에서는 확인되지 않음 {}, 판단 보류 {}",
        "claims of papers tested: {} reproduced, {} not at this scale, {} undecided",
    ),
    "front seconds": (
        "노트북 하나의 평균 실행 시간, GPU 없이",
        "to run a notebook, on average and without a GPU",
    ),
    "path step": ("단계", "Step"),
    "path do": ("할 일", "To do"),
    "path adds": ("얻는 것", "What it adds"),
    "path minutes": ("{}분", "{} min"),
    "path total": ("모두 {}쯤", "About {} in all"),
    "path hours": ("{}시간", "{} hours"),
    "path planned": ("준비 중인 단계는 빼고 셈", "planned steps not counted"),
    "path read": ("{} 리뷰", "{} review"),
    "path run": ("{} 노트북", "{} notebook"),
    "path solve": ("{} 연습 문제", "{} exercises"),
    "no maps": (
        "점수 맵이 아직 저장되지 않았습니다. 노트북을 한 번 실행하면 여기에 나타납니다.",
        "No score maps are stored yet. They appear here once the notebook has been run.",
    ),
    "move threshold": ("임곗값 옮기기", "Move the threshold"),
    "decided": (
        "임곗값 {0}: 오탐은 정상 {2}장 중 {1}장, 미탐은 결함 {4}장 중 {3}장",
        "Threshold {0}: false alarms {1} of {2} good images, misses {3} of {4} defective ones",
    ),
    "false alarm": ("오탐", "false alarm"),
    "passed": ("통과", "passed"),
    "found it": ("검출", "found"),
    "missed": ("미탐", "missed"),
    "shown good": ("정상", "Good"),
    "shown defective": ("결함", "Defective"),
    "shown rendered": ("그려 넣은 결함(개수에는 넣지 않음)", "Rendered defects (not counted)"),
    "false alarm rate": ("오탐률", "false alarms, share of good"),
    "found rate": ("검출률", "found, share of defective"),
    "roc": (
        "ROC 곡선. 점은 지금의 임곗값입니다. 숫자는 위의 글에 있습니다.",
        "ROC curve; the dot is the present threshold. Its numbers are in the text above.",
    ),
    "choose": ("하나를 고르면 설명이 나타납니다.", "Choose one; its explanation appears."),
}

#: Metrics in the order in which they are shown: key in a record -> (Korean, English).
METRICS = {
    "image_auroc": ("이미지 AUROC", "image AUROC"),
    "image_ap": ("이미지 AP", "image AP"),
    "image_f1_max": ("이미지 F1-max", "image F1-max"),
    "pixel_auroc": ("픽셀 AUROC", "pixel AUROC"),
    "pixel_ap": ("픽셀 AP", "pixel AP"),
    "aupro": ("AUPRO(모든 이미지)", "AUPRO, all images"),
    "aupro_anomalous": ("AUPRO(이상 이미지만)", "AUPRO, anomalous images only"),
}

#: How Korean pages call what the records of several notebooks name alike; # stands for a number.
#: What one notebook alone has is named under `measures` in its registry entry.
COMMON = {
    "mean grey": "평균 밝기",
    "thumbnail nearest neighbour": "썸네일의 최근접 이웃",
    "Gaussian on the same features": "같은 특징의 가우시안",
    "initial weights": "초기 가중치",
    "plain autoencoder": "평범한 오토인코더",
    "untrained heads": "학습하지 않은 머리들의 평균",
    "false positives among normal": "정상 이미지의 오탐률",
    "found among defective": "찾아낸 결함 이미지의 비율",
    "# normals": "정상 이미지 #장",
    "all normals": "모든 정상 이미지",
    "held-out normals": "떼어 둔 정상 이미지",
    "held out": "떼어 둔 이미지",
    "stride #": "스트라이드 #",
    "loss": "손실",
    "flow": "흐름",
    "Gaussian": "가우시안",
    "random": "무작위",
    "mean": "평균",
    "maximum": "최댓값",
    "last epoch": "마지막 에포크",
    "best epoch on the test set": "테스트 세트에서 가장 좋은 에포크",
    "Training": "학습",
    "At this threshold": "이 임곗값에서",
    "Flow and Gaussian": "흐름과 가우시안",
    "Choosing on the test set": "테스트 세트에서 고를 때",
    "Fewer normal images": "정상 이미지가 적을 때",
    "mean of two draws": "두 번 뽑은 평균",
    "mean of three draws": "세 번 뽑은 평균",
    "mean of ten draws": "열 번 뽑은 평균",
    "All normal images": "모든 정상 이미지",
    "Held-out normal images": "떼어 둔 정상 이미지",
    "Size of the defect": "결함의 크기",
    "no anomaly maps": "이상 맵 없음",
    "no masks": "마스크 없음",
    "no anomalous images": "이상 이미지 없음",
    "no normal test images": "정상 테스트 이미지 없음",
    "no normal pixels": "정상 픽셀 없음",
    "no normal pixels in anomalous images": "이상 이미지에 정상 픽셀 없음",
    # parts of a data set's licence, between semicolons
    "CC BY-NC-SA 4.0 (not for commercial use)": "CC BY-NC-SA 4.0(상업적 이용 불가)",
    "simulated textile images of the package conformal-clip-data": (
        "conformal-clip-data 패키지의 모의 직물 이미지"
    ),
    "photographs that come with scikit-image, from CC0Textures and DeviantArt": (
        "scikit-image에 든 CC0Textures와 DeviantArt의 사진"
    ),
    "your own images": "내 이미지",
}
NUMBER = re.compile(r"\d+(?:\.\d+)?")
PART = re.compile(r", (?![^(]*\))")  # a comma that no parenthesis encloses


def say(name: str, language: str, *values: object, **named: object) -> str:
    """A word of the interface in `language`, with its blanks filled."""
    pair = WORDS.get(name) or METRICS[name]
    text = pair[language != "ko"]
    return text.format(*values, **named) if values or named else text


def call(name: str, language: str, known: Mapping[str, str] | None = None) -> str:
    """What a record names, in `language`.

    Args:
        name: as the notebook prints it, in English.
        language: ``ko`` or ``en``.
        known: Korean names beside `COMMON`, of whole names or of parts between commas.

    Returns:
        The name; each part that has no Korean word stays as it is.
    """
    if language != "ko":
        return name
    words = COMMON | {english: korean for korean, english in METRICS.values()} | dict(known or {})
    if whole := _named(name, words):
        return whole
    return ", ".join(_named(part, words) or part for part in PART.split(name))


def _named(name: str, words: Mapping[str, str]) -> str | None:
    numbers = iter(NUMBER.findall(name))
    korean = words.get(name) or words.get(NUMBER.sub("#", name))
    return korean and re.sub("#", lambda _: next(numbers), korean)
