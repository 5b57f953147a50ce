/* PatchCore for the page book/live: the steps of notebooks/memory_bank/patchcore.ipynb, by their names.
 *
 * This text and worker.js become one worker. It is plain JavaScript without a library; what takes the
 * time, three loops over 32-bit numbers, is kernels.c. Arrays are flat, channels last, as the comments
 * say: (H, W, C) is number (row * W + column) * C + channel.
 *
 * One thing differs from the notebook, on purpose: the coreset is chosen within each picture and the
 * memory bank is all of them. So a picture comes and goes without a new start, and each good picture
 * can be scored by the memory of the others.
 */
"use strict";

const IMAGE_SIZE = 224; // pixels; the notebook: 256
const PATCH_SIZE = 3; // the window of the local mean
const CORESET_RATIO = 0.1; // of a picture's 784 patches; the notebook: 0.01 of many more pictures
const SIGMA = 4; // of the Gaussian over the map, in pixels

/* --- the network ------------------------------------------------------------------------------ */

/** Start kernels.wasm: its functions, and `room(count)`, float32 numbers in its memory. */
function load_kernels(wasm) {
  const { memory, __heap_base, ...functions } = new WebAssembly.Instance(new WebAssembly.Module(wasm)).exports;
  let end = Math.ceil(__heap_base.value / 16) * 16;
  const room = (count) => {
    const at = end;
    end += Math.ceil(count / 4) * 16;
    const missing = end - memory.buffer.byteLength;
    if (missing > 0) memory.grow(Math.ceil(missing / 65536));
    // A view dies when the memory grows, so it is made anew at each use.
    return { at, count, get values() { return new Float32Array(memory.buffer, at, count); } };
  };
  return { ...functions, room };
}

/** Unpack weights.bin: int16 with one scale for each output channel, then scales and biases. */
function unpack_weights(kernels, layers, bytes) {
  let offset = 0;
  const next = (kind, count) => {
    const part = new kind(bytes.slice(offset, offset + count * kind.BYTES_PER_ELEMENT));
    offset += count * kind.BYTES_PER_ELEMENT;
    return part;
  };
  return layers.map((layer) => {
    const inputs = layer.kind === "dense" ? layer.in : 1;
    const stored = next(Int16Array, layer.size ** 2 * inputs * layer.out);
    const [scale, biases] = [next(Float32Array, layer.out), next(Float32Array, layer.out)];
    const [weight, bias] = [kernels.room(stored.length), kernels.room(layer.out)];
    bias.values.set(biases);
    const { values } = weight;
    for (let i = 0; i < stored.length; i++) values[i] = stored[i] * scale[i % layer.out];
    return { ...layer, weight, bias };
  });
}

/** The windows of a convolution as rows: (H, W, C) -> (rows * columns, size * size * C). */
function windows(input, side, channels, { size, stride }, before, outputSide, rows) {
  let at = 0;
  for (let row = 0; row < outputSide; row++)
    for (let column = 0; column < outputSide; column++)
      for (let a = 0; a < size; a++)
        for (let b = 0; b < size; b++) {
          const [top, left] = [row * stride + a - before, column * stride + b - before];
          const inside = top < side && left < side && top >= 0 && left >= 0;
          for (let c = 0; c < channels; c++) rows[at++] = inside ? input[(top * side + left) * channels + c] : 0;
        }
}

/** The backbone: returns features(pixels), RGBA bytes (224, 224, 4) -> [{side, channels, values}], finest first. */
function load_network(kernels, { layers, mean, std }, bytes) {
  const network = unpack_weights(kernels, layers, bytes);
  // Three buffers, each as large as the largest layer, take turns; an added input stays in its own.
  let [side, largest, columns] = [IMAGE_SIZE, 0, 0];
  for (const layer of network) {
    layer.outputSide = Math.ceil(side / layer.stride);
    // As in TensorFlow ("SAME"): of an odd number of zeros at stride 2 the larger half stands below and right.
    const zeros = Math.max(0, (layer.outputSide - 1) * layer.stride + layer.size - side);
    layer.before = Math.floor(zeros / 2);
    if (layer.kind === "dense" && layer.size > 1) columns = layer.outputSide ** 2 * layer.size ** 2 * layer.in;
    side = layer.outputSide;
    largest = Math.max(largest, side ** 2 * layer.out);
  }
  const image = kernels.room(columns);
  const buffers = [0, 1, 2].map(() => kernels.room(largest));
  const normalised = new Float32Array(IMAGE_SIZE ** 2 * 3);

  return function features(pixels) {
    for (let i = 0, at = 0; i < pixels.length; i++)
      if (i % 4 < 3) normalised[at++] = (pixels[i] / 255 - mean) / std; // before the zeros at the rim
    const levels = [];
    let [side, input, blockInput] = [IMAGE_SIZE, null, null];
    for (const { kind, size, weight, bias, clamp, add, tap, ...layer } of network) {
      const output = buffers.find((buffer) => buffer !== input && buffer !== blockInput);
      const cells = layer.outputSide ** 2;
      if (kind === "depthwise") {
        kernels.depthwise(input.at, side, side, layer.in, weight.at, bias.at, size, layer.stride, layer.before,
          layer.outputSide, layer.outputSide, output.at);
      } else {
        if (size > 1) windows(normalised, side, layer.in, { size, ...layer }, layer.before, layer.outputSide, image.values);
        const from = size > 1 ? image : input;
        kernels.dense(from.at, cells, size * size * layer.in, weight.at, bias.at, layer.out, clamp ? 1 : 0,
          add ? blockInput.at : 0, output.at);
        if (!clamp) blockInput = output; // a block ends without ReLU6, and the next one begins
      }
      [side, input] = [layer.outputSide, output];
      if (tap) levels.push({ side, channels: layer.out, values: output.values.slice(0, cells * layer.out) });
    }
    return levels;
  };
}

/* --- the method ------------------------------------------------------------------------------- */

/** Mean over a size x size window; outside the map there are zeros. */
function local_mean({ side, channels, values }, size) {
  const means = new Float32Array(values.length);
  const rim = (size - 1) / 2;
  for (let row = 0; row < side; row++)
    for (let column = 0; column < side; column++) {
      const to = (row * side + column) * channels;
      for (let r = Math.max(0, row - rim); r <= Math.min(side - 1, row + rim); r++)
        for (let c = Math.max(0, column - rim); c <= Math.min(side - 1, column + rim); c++) {
          const from = (r * side + c) * channels;
          for (let i = 0; i < channels; i++) means[to + i] += values[from + i];
        }
      for (let i = 0; i < channels; i++) means[to + i] /= size * size;
    }
  return { side, channels, values: means };
}

/** Bring a map to another side bilinearly, as torch's interpolate does. The result goes into `large`, whose cells
 *  have `depth` numbers each, from number `start` on. */
function enlarge({ side, channels, values }, newSide, large, depth, start) {
  const places = Array.from({ length: newSide }, (_, i) => {
    const x = Math.max(0, ((i + 0.5) * side) / newSide - 0.5);
    const low = Math.min(Math.floor(x), side - 1);
    return { low, high: Math.min(low + 1, side - 1), share: x - low };
  });
  let at = start;
  for (const row of places)
    for (const column of places) {
      const corner = (r, c) => (r * side + c) * channels;
      const [a, b] = [corner(row.low, column.low), corner(row.low, column.high)];
      const [c, d] = [corner(row.high, column.low), corner(row.high, column.high)];
      for (let i = 0; i < channels; i++) {
        const above = values[a + i] + (values[b + i] - values[a + i]) * column.share;
        const below = values[c + i] + (values[d + i] - values[c + i]) * column.share;
        large[at + i] = above + (below - above) * row.share;
      }
      at += depth;
    }
}

/** The levels of the network -> patches (28 * 28, D): local means, brought to the finest grid and joined. */
function local_patches(levels) {
  const { side } = levels[0];
  const depth = levels.reduce((sum, level) => sum + level.channels, 0);
  const values = new Float32Array(side ** 2 * depth);
  let start = 0;
  for (const level of levels) {
    enlarge(local_mean(level, PATCH_SIZE), side, values, depth, start);
    start += level.channels;
  }
  return { side, depth, values };
}

/** Numbers of `size` patches, beginning with the first: each the farthest from all chosen before it. */
function greedy_coreset({ side, depth, values }, size) {
  const nearest = new Float32Array(side ** 2).fill(Infinity); // squared distance to the chosen ones
  const chosen = [0];
  while (chosen.length < size) {
    const centre = chosen.at(-1) * depth;
    let farthest = 0;
    for (let p = 0; p < nearest.length; p++) {
      let gap = 0;
      for (let i = 0, from = p * depth; i < depth; i++) gap += (values[from + i] - values[centre + i]) ** 2;
      if (gap < nearest[p]) nearest[p] = gap;
      if (nearest[p] > nearest[farthest]) farthest = p;
    }
    chosen.push(farthest);
  }
  return chosen;
}

/** A picture's share of the memory bank: its coreset, one patch per column (D, K), as kernels.c reads it. */
function memory_of(patches) {
  const size = Math.round((CORESET_RATIO * patches.side ** 2) / 8) * 8;
  const { depth, values } = patches;
  const columns = new Float32Array(depth * size);
  greedy_coreset(patches, size).forEach((p, column) => {
    for (let i = 0; i < depth; i++) columns[i * size + column] = values[p * depth + i];
  });
  return { size, columns };
}

/** Returns nearest_distances(patches, memory_bank): of each patch to the nearest in the bank, a list of memories. */
function load_search(kernels) {
  let rooms = null;
  return function nearest_distances({ side, depth, values }, memory_bank) {
    rooms ??= {
      patches: kernels.room(values.length),
      memory: kernels.room(memory_bank[0].columns.length),
      best: kernels.room(side ** 2),
    };
    rooms.patches.values.set(values);
    rooms.best.values.fill(Infinity);
    for (const { size, columns } of memory_bank) {
      rooms.memory.values.set(columns);
      kernels.nearest(rooms.patches.at, side ** 2, depth, rooms.memory.at, size, rooms.best.at);
    }
    return Float32Array.from(rooms.best.values, Math.sqrt);
  };
}

/** The distances on the grid, enlarged to the picture and smoothed by a Gaussian, as SciPy does. */
function anomaly_map(grid) {
  const large = new Float32Array(IMAGE_SIZE ** 2);
  enlarge({ side: Math.sqrt(grid.length), channels: 1, values: grid }, IMAGE_SIZE, large, 1, 0);
  const radius = Math.round(4 * SIGMA);
  const bell = Float64Array.from({ length: 2 * radius + 1 }, (_, i) => Math.exp(-((i - radius) ** 2) / (2 * SIGMA ** 2)));
  const total = bell.reduce((sum, value) => sum + value);
  const mirrored = (i) => (i < 0 ? -i - 1 : i >= IMAGE_SIZE ? 2 * IMAGE_SIZE - 1 - i : i);
  const smooth = (from, to) => { // transposed, so that twice gives rows and columns
    const line = new Float64Array(IMAGE_SIZE + 2 * radius);
    for (let row = 0; row < IMAGE_SIZE; row++) {
      for (let i = 0; i < line.length; i++) line[i] = from[row * IMAGE_SIZE + mirrored(i - radius)];
      for (let column = 0; column < IMAGE_SIZE; column++) {
        let sum = 0;
        for (let i = 0; i < bell.length; i++) sum += bell[i] * line[column + i];
        to[column * IMAGE_SIZE + row] = sum / total;
      }
    }
    return to;
  };
  return smooth(smooth(large, new Float32Array(large.length)), large);
}

/** Score and map of a picture: its strangest patch decides. (The notebook's Eq. 7 is left out: it changes little.) */
function score(nearest_distances, patches, memory_bank) {
  const grid = nearest_distances(patches, memory_bank);
  return { image_score: grid.reduce((most, value) => Math.max(most, value)), anomaly_map: anomaly_map(grid) };
}
