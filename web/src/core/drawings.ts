/** Sets of points in the plane to learn from, about as large as standard normal noise. */

import { normal, uniform } from "./random";

const COUNT = 240;

/** Returns points along a curve: `place` maps a number in [0, 1) to x and y. */
function curve(place: (share: number) => [number, number]): Float64Array {
  const points = new Float64Array(2 * COUNT);
  for (let i = 0; i < COUNT; i++) points.set(place(i / COUNT), 2 * i);
  return points;
}

const turn = 2 * Math.PI;

export const DRAWINGS: Record<string, () => Float64Array> = {
  heart: () =>
    curve((share) => {
      const angle = turn * share;
      const y =
        13 * Math.cos(angle) - 5 * Math.cos(2 * angle) - 2 * Math.cos(3 * angle) - Math.cos(4 * angle);
      return [(16 * Math.sin(angle) ** 3) / 11, (y + 2) / 11];
    }),
  "two moons": () =>
    curve((share) => {
      const angle = turn * share;
      const side = share < 0.5 ? 1 : -1;
      return [1.1 * Math.cos(angle) - 0.5 * side, 1.3 * Math.sin(angle) - 0.35 * side];
    }),
  spiral: () =>
    curve((share) => {
      const angle = 2 * turn * Math.sqrt(0.05 + share);
      return [(1.6 * angle * Math.cos(angle)) / (2 * turn), (1.6 * angle * Math.sin(angle)) / (2 * turn)];
    }),
  "eight clusters": () => {
    const spread = normal(uniform(5), 2 * COUNT);
    const points = curve((share) => {
      const angle = (turn * Math.floor(8 * share)) / 8;
      return [1.5 * Math.cos(angle), 1.5 * Math.sin(angle)];
    });
    return points.map((value, i) => value + 0.08 * spread[i]);
  },
};
