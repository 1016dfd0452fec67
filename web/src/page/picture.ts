/** Small colour pictures as arrays of numbers between -1 and 1: red, green and blue of each pixel. */

import { element } from "./controls";

export const SIDE = 64;
export const LENGTH = SIDE * SIDE * 3;

/** Returns a flower: petals around a yellow disc, on a dark green ground. */
export function flower(): Float64Array {
  const picture = new Float64Array(LENGTH);
  for (let y = 0; y < SIDE; y++)
    for (let x = 0; x < SIDE; x++) {
      const [dx, dy] = [(2 * x) / SIDE - 1, (2 * y) / SIDE - 1];
      const [radius, angle] = [Math.hypot(dx, dy), Math.atan2(dy, dx)];
      const petal = radius < 0.55 + 0.3 * Math.cos(7 * angle);
      const shade = 1 - 0.5 * radius;
      const colour =
        radius < 0.2 ? [0.9, 0.7, -0.6] : petal ? [shade, 0.1 * shade - 0.3, shade - 0.3] : [-0.75, -0.35, -0.7];
      picture.set(colour, 3 * (y * SIDE + x));
    }
  return picture;
}

/** Returns a picture of one colour. */
export function blank(colour: number[]): Float64Array {
  return Float64Array.from({ length: LENGTH }, (_, i) => colour[i % 3]);
}

/** Paints a round dot into a picture, with the place in pixels from the left and the bottom. */
export function dot(picture: Float64Array, [x, y]: [number, number], radius: number, colour: number[]): void {
  for (let row = 0; row < SIDE; row++)
    for (let column = 0; column < SIDE; column++)
      if (Math.hypot(column + 0.5 - x, SIDE - row - 0.5 - y) < radius) picture.set(colour, 3 * (row * SIDE + column));
}

/** Returns the middle square of a file with a picture. The file does not leave the page. */
export async function fromFile(file: File): Promise<Float64Array> {
  const bitmap = await createImageBitmap(file);
  const canvas = element("canvas", { width: SIDE, height: SIDE });
  const context = canvas.getContext("2d", { willReadFrequently: true })!;
  const side = Math.min(bitmap.width, bitmap.height);
  const [left, top] = [(bitmap.width - side) / 2, (bitmap.height - side) / 2];
  context.fillStyle = "white"; // where the file is transparent
  context.fillRect(0, 0, SIDE, SIDE);
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, left, top, side, side, 0, 0, SIDE, SIDE);
  bitmap.close();
  const { data } = context.getImageData(0, 0, SIDE, SIDE);
  const picture = new Float64Array(LENGTH);
  for (let i = 0; i < SIDE * SIDE; i++)
    for (let channel = 0; channel < 3; channel++)
      picture[3 * i + channel] = data[4 * i + channel] / 127.5 - 1;
  return picture;
}

/** Returns a canvas that shows pictures, with a caption below it. */
export class Frame {
  readonly node: HTMLElement;
  readonly canvas: HTMLCanvasElement;
  readonly range: [number, number, number, number];

  constructor(caption: string, alternative: string, side = SIDE) {
    this.canvas = element("canvas", { width: side, height: side, className: "pixels" });
    this.canvas.setAttribute("role", "img");
    this.range = [0, side, 0, side];
    this.describe(alternative);
    this.node = element("figure", {}, this.canvas);
    if (caption) this.node.append(element("figcaption", {}, caption));
  }

  /** Changes the text for people who cannot see the picture. */
  describe(alternative: string): void {
    this.canvas.setAttribute("aria-label", alternative);
  }

  show(picture: ArrayLike<number>): void {
    const { width, height } = this.canvas;
    const image = new ImageData(width, height);
    for (let i = 0; i < width * height; i++) {
      for (let channel = 0; channel < 3; channel++)
        image.data[4 * i + channel] = Math.round(127.5 * (picture[3 * i + channel] + 1));
      image.data[4 * i + 3] = 255;
    }
    this.canvas.getContext("2d")!.putImageData(image, 0, 0);
  }
}

/** Returns a button that lets the visitor choose a picture, and calls `chosen` with it. */
export function pictureChooser(chosen: (picture: Float64Array) => void): HTMLElement {
  const input = element("input", { type: "file", accept: "image/*" });
  const message = element("span", { role: "status" });
  input.addEventListener("change", async () => {
    const file = input.files?.[0];
    if (!file) return;
    try {
      chosen(await fromFile(file));
      message.textContent = "";
    } catch {
      message.textContent = `${file.name} is not a picture that this browser can read.`;
    }
  });
  const label = element("label", { className: "control" }, "Your own picture ", input);
  return element("span", {}, label, " ", message);
}
