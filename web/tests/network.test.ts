/** The network of the figure that trains in the page. */

import assert from "node:assert/strict";
import test from "node:test";

import { DRAWINGS } from "../src/core/drawings";
import { VelocityNetwork } from "../src/core/network";
import { normal, uniform } from "../src/core/random";

test("the loss falls along the gradient as fast as the gradient says", () => {
  // With a tiny rate, one step of Adam moves each weight by about the rate, downhill. If a
  // gradient had the wrong sign or place, the loss on the same points would not fall.
  const points = DRAWINGS.heart();
  const losses = [0, 1e-3].map((rate) => {
    const network = new VelocityNetwork(uniform(1));
    for (let step = 0; step < 40; step++) network.train(points, rate);
    return network.train(points, 0, 4096);
  });
  assert.ok(losses[1] < 0.8 * losses[0], `${losses}`);
});

test("it learns two points, and samples end there", () => {
  const network = new VelocityNetwork(uniform(1));
  const points = Float64Array.of(-1, -1, 1, 1);
  for (let step = 0; step < 150; step++) network.train(points, 4e-3 * (1 - step / 150), 128);
  const stations = network.sample(normal(uniform(2), 200), 20);
  const ends = stations[20];
  let near = 0;
  for (let i = 0; i < ends.length; i += 2)
    near += Number(Math.min(Math.hypot(ends[i] - 1, ends[i + 1] - 1), Math.hypot(ends[i] + 1, ends[i + 1] + 1)) < 0.35);
  assert.equal(stations.length, 21);
  assert.ok(near > 85, `${near} of 100`);
});
