"""Search that finds Korean words.

Korean glues particles to words (결함을, 결함이), and Sphinx has no splitter for it: 결함 would find
nothing. Hangul is indexed by overlapping pairs of syllables: 이상치를 gives 이상, 상치, 치를, and
a query finds the pages that hold all of its pairs. The rest is split and stemmed as in English.
The browser's half is `korean_search.js`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx.search import languages
from sphinx.search.en import SearchEnglish

WORD = re.compile(r"[가-힣]+|[^\W가-힣]+")
PAIR = re.compile(r"[가-힣]{1,2}")


class SearchKorean(SearchEnglish):
    """Pairs of Hangul syllables; English words as in English."""

    lang = "ko"
    language_name = "Korean"
    js_stemmer_code = SearchEnglish.js_stemmer_code.replace("var Stemmer", "var EnglishStemmer") + (
        "var Stemmer = koreanStemmer(EnglishStemmer);\n"
    )

    @property
    def js_splitter_code(self) -> str:  # type: ignore[override]
        """The same splitting and stemming in JavaScript."""
        return Path(__file__).with_suffix(".js").read_text(encoding="utf-8")

    def split(self, input: str) -> list[str]:
        """Split into words, and Hangul words into overlapping pairs of syllables."""
        terms: list[str] = []
        for word in WORD.findall(input):
            if len(word) > 2 and "가" <= word[0] <= "힣":
                terms += [word[i : i + 2] for i in range(len(word) - 1)]
            else:
                terms.append(word)
        return terms

    def stem(self, word: str) -> str:
        """Stem English; lengthen Hangul: terms under three signs are optional to the browser."""
        return f"{word}__" if PAIR.fullmatch(word) else super().stem(word)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the language under `ko`."""
    languages["ko"] = SearchKorean
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
