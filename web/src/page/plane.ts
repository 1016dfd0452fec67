/** A canvas with coordinates, sharp on every screen. */

import { element } from "./controls";

/** Okabe and Ito's colours, which differ for colour-blind readers too. */
export const COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"];

/** The colour of text and data, which can be read on a light and on a dark page. */
export const INK = "#747474";

export class Plane {
  readonly canvas: HTMLCanvasElement;
  private readonly context: CanvasRenderingContext2D;

  /**
   * @param label what the picture shows, for people who cannot see it.
   * @param range the coordinates at the left, right, bottom and top edge.
   */
  constructor(
    label: string,
    readonly width: number,
    readonly height: number,
    readonly range: [number, number, number, number],
  ) {
    const scale = window.devicePixelRatio || 1;
    this.canvas = element("canvas", { width: width * scale, height: height * scale });
    this.canvas.style.maxWidth = `${width}px`;
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", label);
    this.context = this.canvas.getContext("2d")!;
    this.context.scale(scale, scale);
  }

  clear(): void {
    this.context.clearRect(0, 0, this.width, this.height);
  }

  /** Draws points, x and y one after the other. */
  dots(points: ArrayLike<number>, colour: string, radius = 1.5): void {
    this.context.fillStyle = colour;
    for (let i = 0; i < points.length; i += 2) {
      const [x, y] = this.place(points[i], points[i + 1]);
      this.context.fillRect(x - radius, y - radius, 2 * radius, 2 * radius);
    }
  }

  line(points: ArrayLike<number>, colour: string, width = 2, dashes: number[] = []): void {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.setLineDash(dashes);
    context.beginPath();
    for (let i = 0; i < points.length; i += 2) context.lineTo(...this.place(points[i], points[i + 1]));
    context.stroke();
  }

  text(words: string, x: number, y: number, colour = INK, align: CanvasTextAlign = "left"): void {
    this.context.font = "13px system-ui, sans-serif";
    this.context.fillStyle = colour;
    this.context.textAlign = align;
    this.context.fillText(words, ...this.place(x, y));
  }

  private place(x: number, y: number): [number, number] {
    const [left, right, bottom, top] = this.range;
    return [
      ((x - left) / (right - left)) * this.width,
      ((top - y) / (top - bottom)) * this.height,
    ];
  }
}
