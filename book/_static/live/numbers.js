/* Threshold and AUROC: what helpers/metrics.py computes, for the few pictures of a page. */
"use strict";
window.live = window.live ?? {};

/** A threshold from good pictures alone (split conformal): the k-th smallest of n scores, k = ceil((n + 1)(1 - rate)).
 *  With fewer than 19 scores the rate that can be held is 1 / (n + 1). */
live.thresholdFromNormals = (scores) => {
  const count = scores.length;
  const rate = Math.max(0.05, 1 / (count + 1));
  const sorted = [...scores].sort((a, b) => a - b);
  return { rate, threshold: sorted[Math.ceil((count + 1) * (1 - rate) - 1e-9) - 1] };
};

/** Scores that lie apart from the others: more than 1.5 times the middle half's width above it (Tukey's rule). */
live.standingOut = (scores) => {
  if (scores.length < 5) return scores.map(() => false);
  const sorted = [...scores].sort((a, b) => a - b);
  const quantile = (share) => {
    const at = share * (sorted.length - 1);
    const low = Math.floor(at);
    return sorted[low] + (at - low) * ((sorted[low + 1] ?? sorted[low]) - sorted[low]);
  };
  const limit = quantile(0.75) + 1.5 * (quantile(0.75) - quantile(0.25));
  return scores.map((score) => score > limit);
};

/** The share of pairs in which the defective one scores higher; equal scores count half. */
live.auroc = (good, defective) => {
  const sorted = Float64Array.from(good).sort();
  const count = (value, orEqual) => {
    let [low, high] = [0, sorted.length];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value || (orEqual && sorted[middle] === value)) low = middle + 1;
      else high = middle;
    }
    return low;
  };
  let sum = 0;
  for (const value of defective) sum += (count(value, false) + count(value, true)) / 2;
  return sum / (good.length * defective.length);
};

/** 95 % interval of an AUROC: all values that lie within 1.96 standard deviations of it, by the variance of
 *  Hanley and McNeil (1982). A bootstrap, as the notebooks use, has no width at 1, where few pictures often are. */
live.aurocInterval = (value, good, defective) => {
  const beyond = (area) => {
    const share = 1 + ((defective - 1) * (1 - area)) / (2 - area) + ((good - 1) * area) / (1 + area);
    const variance = (area * (1 - area) * share) / (good * defective);
    return Math.abs(value - area) - 1.96 * Math.sqrt(variance);
  };
  const edge = (inside, outside) => {
    for (let step = 0; step < 50; step++) {
      const middle = (inside + outside) / 2;
      if (beyond(middle) > 0) outside = middle;
      else inside = middle;
    }
    return inside;
  };
  return [edge(value, 0), edge(value, 1)];
};
