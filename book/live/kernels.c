/* The three loops in which the detector in the page spends its time; the method itself is method.js.
 *
 * A picture is height x width x channels, channels last, 32-bit numbers. Channels are a multiple of
 * 4 everywhere in the network, the sizes that are handled eight at a time a multiple of 8.
 * `python book/tools/live_files.py kernels` compiles this file to kernels.wasm, with nothing from a C library.
 */

typedef float four __attribute__((vector_size(16), aligned(4))); /* one 128-bit register */

static inline four load(const float *from) { return *(const four *)from; }
static inline void store(float *to, four value) { *(four *)to = value; }
static inline four splat(float value) { return (four){value, value, value, value}; }
static inline four least(four a, four b) { return __builtin_wasm_pmin_f32x4(a, b); }
static inline four most(four a, four b) { return __builtin_wasm_pmax_f32x4(a, b); }
static inline four relu6(four value) { return least(most(value, splat(0)), splat(6)); }

/* y = x w + bias: x (rows, in), w (in, out), y (rows, out). With `clamp` it is cut to 0..6; with `add`
 * (rows, out), a block's own input, that is added last. rows: a multiple of 4, out: of 8. */
__attribute__((export_name("dense"))) void dense(const float *x, int rows, int in, const float *w,
                                                 const float *bias, int out, int clamp,
                                                 const float *add, float *y) {
  for (int o = 0; o < out; o += 8) {
    for (int r = 0; r < rows; r += 4) { /* 4 rows x 8 outputs stay in registers */
      four sum[4][2];
      for (int k = 0; k < 4; k++) sum[k][0] = load(bias + o), sum[k][1] = load(bias + o + 4);
      for (int i = 0; i < in; i++) {
        const four left = load(w + i * out + o), right = load(w + i * out + o + 4);
        for (int k = 0; k < 4; k++) {
          const four value = splat(x[(r + k) * in + i]);
          sum[k][0] += value * left;
          sum[k][1] += value * right;
        }
      }
      for (int k = 0; k < 4; k++)
        for (int half = 0; half < 2; half++) {
          const int at = (r + k) * out + o + 4 * half;
          four value = clamp ? relu6(sum[k][half]) : sum[k][half];
          if (add) value += load(add + at);
          store(y + at, value);
        }
    }
  }
}

/* Each channel with its own size x size window, then cut to 0..6. Outside the picture there are zeros;
 * `before` of them stand above and left of it. w (size, size, channels). */
__attribute__((export_name("depthwise"))) void depthwise(const float *x, int height, int width,
                                                         int channels, const float *w,
                                                         const float *bias, int size, int stride,
                                                         int before, int rows, int columns, float *y) {
  for (int row = 0; row < rows; row++)
    for (int column = 0; column < columns; column++)
      for (int c = 0; c < channels; c += 4) {
        four sum = load(bias + c);
        for (int a = 0; a < size; a++) {
          const int top = row * stride + a - before;
          if (top < 0 || top >= height) continue;
          for (int b = 0; b < size; b++) {
            const int left = column * stride + b - before;
            if (left < 0 || left >= width) continue;
            sum += load(x + (top * width + left) * channels + c) * load(w + (a * size + b) * channels + c);
          }
        }
        store(y + (row * columns + column) * channels + c, relu6(sum));
      }
}

/* best[r] = min(best[r], min_m |x_r - m|^2): x (rows, depth), bank (depth, size) holds one patch per column.
 * rows: a multiple of 4, size: of 8. */
__attribute__((export_name("nearest"))) void nearest(const float *x, int rows, int depth,
                                                     const float *bank, int size, float *best) {
  for (int m = 0; m < size; m += 8)
    for (int r = 0; r < rows; r += 4) {
      four sum[4][2];
      for (int k = 0; k < 4; k++) sum[k][0] = sum[k][1] = splat(0);
      for (int i = 0; i < depth; i++) {
        const four left = load(bank + i * size + m), right = load(bank + i * size + m + 4);
        for (int k = 0; k < 4; k++) {
          const four value = splat(x[(r + k) * depth + i]);
          const four first = value - left, second = value - right;
          sum[k][0] += first * first;
          sum[k][1] += second * second;
        }
      }
      for (int k = 0; k < 4; k++) {
        const four both = least(sum[k][0], sum[k][1]);
        for (int lane = 0; lane < 4; lane++)
          if (both[lane] < best[r + k]) best[r + k] = both[lane];
      }
    }
}
