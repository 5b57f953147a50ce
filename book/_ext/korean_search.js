/* The browser's half of korean_search.py: split and stem a query as the index was made. */
function splitQuery(query) {
  const terms = [];
  for (const word of query.match(/[가-힣]+|(?:(?![가-힣])[\p{L}\p{N}\p{M}_])+/gu) || []) {
    if (word.length > 2 && word[0] >= "가" && word[0] <= "힣") {
      for (let i = 0; i + 1 < word.length; i++) terms.push(word.slice(i, i + 2));
    } else {
      terms.push(word);
    }
  }
  return terms;
}

function koreanStemmer(EnglishStemmer) {
  return function () {
    const english = new EnglishStemmer();
    this.stemWord = (word) => (/^[가-힣]{1,2}$/.test(word) ? word + "__" : english.stemWord(word));
  };
}
