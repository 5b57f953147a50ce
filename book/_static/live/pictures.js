/* From a file to 224 x 224 pixels, and from a map to colours. */
"use strict";
window.live = window.live ?? {};

live.SIDE = 224; // as IMAGE_SIZE of the worker
const LARGEST_FILE = 100e6; // bytes

/** Why a file could not be read: a key of words.reasons. */
function reason(file) {
  const kind = `${file.type} ${file.name.toLowerCase()}`;
  if (file.size === 0) return "empty";
  if (/hei[cf]/.test(kind)) return "heic";
  if (/tiff?\b/.test(kind)) return "tiff";
  if (/\.(dng|cr[23]|nef|arw|orf|rw2|raf)$/.test(kind)) return "raw";
  const image = file.type.startsWith("image/") || /\.(png|jpe?g|webp|bmp|gif|avif)$/.test(kind);
  return image ? "broken" : "notImage";
}

/** Draw a file onto a canvas of 224 x 224; throws a key of words.reasons.
 *  `fit` is "crop" (the central square) or "pad" (everything, between grey bars). */
live.readPicture = async (file, fit, canvas = document.createElement("canvas")) => {
  if (file.size > LARGEST_FILE) throw "large";
  let bitmap;
  try {
    bitmap = await createImageBitmap(file); // turned as EXIF says
  } catch {
    throw reason(file);
  }
  canvas.width = canvas.height = live.SIDE;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const { width, height } = bitmap;
  const side = fit === "crop" ? Math.min(width, height) : Math.max(width, height);
  const scale = live.SIDE / side;
  context.fillStyle = "#7f7f7f"; // zero for the network; also what shines through a transparent picture
  context.fillRect(0, 0, live.SIDE, live.SIDE);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, (live.SIDE - width * scale) / 2, (live.SIDE - height * scale) / 2, width * scale, height * scale);
  bitmap.close(); // the full size would wait for the garbage collector
  return { canvas, width, height };
};

live.pixels = (canvas) => canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, live.SIDE, live.SIDE).data;

/** From nothing over orange to white: darker means nothing, and brightness alone tells the order. */
const HEAT = [[120, 28, 109, 0], [187, 55, 84, 130], [237, 105, 37, 190], [251, 180, 26, 215], [252, 255, 164, 235]];

/** Draw an anomaly map; 0 of the scale is `low`, its end `high`. */
live.drawMap = (canvas, map, low, high) => {
  const context = canvas.getContext("2d");
  const image = context.createImageData(live.SIDE, live.SIDE);
  for (let i = 0; i < map.length; i++) {
    const at = Math.min(1, Math.max(0, (map[i] - low) / (high - low))) * (HEAT.length - 1);
    const step = Math.min(Math.floor(at), HEAT.length - 2);
    for (let c = 0; c < 4; c++) image.data[4 * i + c] = HEAT[step][c] + (HEAT[step + 1][c] - HEAT[step][c]) * (at - step);
  }
  context.putImageData(image, 0, 0);
};
