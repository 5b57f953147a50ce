/* What the worker answers to the page: see method.js, which stands before this text. */

/** Start with {wasm, facts, weights}; returns the answers by the name of the question. */
function answers({ wasm, facts, weights }) {
  const kernels = load_kernels(wasm);
  const features = load_network(kernels, facts, weights);
  const nearest_distances = load_search(kernels);
  const good = new Map(); // id -> {patches, memory}
  const tests = new Map(); // id -> {patches}
  const bank = (without) => [...good].filter(([id]) => id !== without).map(([, picture]) => picture.memory);

  return {
    /** A good picture: its patches are kept, and its coreset joins the memory bank. */
    good({ id, pixels }) {
      const patches = local_patches(features(pixels));
      good.set(id, { patches, memory: memory_of(patches) });
    },
    test({ id, pixels }) {
      tests.set(id, { patches: local_patches(features(pixels)) });
    },
    remove({ id }) {
      good.delete(id);
      tests.delete(id);
    },
    /** Score and map by the memory of the (other) good pictures; nothing while there are none. */
    score({ id }) {
      const memory_bank = bank(id);
      const picture = good.get(id) ?? tests.get(id);
      return picture && memory_bank.length ? score(nearest_distances, picture.patches, memory_bank) : null;
    },
    /** The same for pixels that are not kept: a good picture that the reader paints on. */
    look({ pixels, without }) {
      const memory_bank = bank(without);
      return memory_bank.length ? score(nearest_distances, local_patches(features(pixels)), memory_bank) : null;
    },
  };
}

if (typeof WorkerGlobalScope !== "undefined") {
  let known = null;
  self.onmessage = ({ data: { number, question, ...details } }) => {
    try {
      if (question === "start") known = answers(details);
      const answer = question === "start" ? true : known[question](details);
      const map = answer?.anomaly_map;
      self.postMessage({ number, answer }, map ? [map.buffer] : []);
    } catch (error) {
      self.postMessage({ number, error: String(error) });
    }
  };
}
