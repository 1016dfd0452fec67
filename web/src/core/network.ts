/** A small network that learns a drawing by flow matching (Lipman et al. 2023), in the page. */

import { normal, type Random } from "./random";

const WIDTH = 64;
const LAYERS = 3; // hidden ones
const FREQUENCIES = 4; // of the Fourier features of x, y and time
const INPUTS = 3 + 2 * FREQUENCIES * 3;
const [DECAY_1, DECAY_2, EPSILON] = [0.9, 0.99, 1e-8]; // of Adam (Kingma and Ba 2015)

/** A dense layer with Adam's two moments of its weights. Its last row of weights is the bias. */
class Dense {
  readonly weights: Float32Array;
  readonly gradients: Float32Array;
  private readonly first: Float32Array;
  private readonly second: Float32Array;

  constructor(
    readonly inputs: number,
    readonly outputs: number,
    random: Random,
  ) {
    const size = (inputs + 1) * outputs;
    const scale = Math.sqrt(2 / inputs);
    this.weights = Float32Array.from(normal(random, size), (value, i) =>
      i < inputs * outputs ? scale * value : 0,
    );
    this.gradients = new Float32Array(size);
    this.first = new Float32Array(size);
    this.second = new Float32Array(size);
  }

  forward(x: Float32Array, batch: number): Float32Array {
    const { inputs, outputs, weights } = this;
    const y = new Float32Array(batch * outputs);
    for (let b = 0; b < batch; b++) {
      const row = b * outputs;
      for (let o = 0; o < outputs; o++) y[row + o] = weights[inputs * outputs + o];
      for (let i = 0; i < inputs; i++) {
        const value = x[b * inputs + i];
        const from = i * outputs;
        for (let o = 0; o < outputs; o++) y[row + o] += value * weights[from + o];
      }
    }
    return y;
  }

  /** Adds to the gradients of the weights, and returns the gradient with respect to `x`. */
  backward(x: Float32Array, gradient: Float32Array, batch: number): Float32Array {
    const { inputs, outputs, weights, gradients } = this;
    const back = new Float32Array(batch * inputs);
    for (let b = 0; b < batch; b++) {
      const row = b * outputs;
      for (let o = 0; o < outputs; o++) gradients[inputs * outputs + o] += gradient[row + o];
      for (let i = 0; i < inputs; i++) {
        const value = x[b * inputs + i];
        const from = i * outputs;
        let total = 0;
        for (let o = 0; o < outputs; o++) {
          gradients[from + o] += value * gradient[row + o];
          total += weights[from + o] * gradient[row + o];
        }
        back[b * inputs + i] = total;
      }
    }
    return back;
  }

  /** Makes one step of Adam, and clears the gradients. */
  update(rate: number, step: number): void {
    const { weights, gradients, first, second } = this;
    const [fix1, fix2] = [1 - DECAY_1 ** step, 1 - DECAY_2 ** step];
    for (let i = 0; i < weights.length; i++) {
      first[i] += (1 - DECAY_1) * (gradients[i] - first[i]);
      second[i] += (1 - DECAY_2) * (gradients[i] ** 2 - second[i]);
      weights[i] -= (rate * (first[i] / fix1)) / (Math.sqrt(second[i] / fix2) + EPSILON);
    }
    gradients.fill(0);
  }
}

/** Predicts the velocity, noise minus image, of points on the way from image to noise. */
export class VelocityNetwork {
  private readonly layers: Dense[];
  private steps = 0;

  constructor(private readonly random: Random) {
    const widths = [INPUTS, ...Array<number>(LAYERS).fill(WIDTH), 2];
    this.layers = widths.slice(1).map((width, i) => new Dense(widths[i], width, random));
  }

  /**
   * Makes one training step on points of the drawing, and returns the loss.
   *
   * @param points x and y of each point of the drawing.
   * @param rate the learning rate.
   */
  train(points: Float64Array, rate: number, batch = 256): number {
    const noise = normal(this.random, 2 * batch);
    const noisy = new Float64Array(2 * batch);
    const velocity = new Float64Array(2 * batch);
    const times = new Float64Array(batch);
    for (let b = 0; b < batch; b++) {
      const point = 2 * Math.floor((this.random() * points.length) / 2);
      times[b] = this.random();
      for (let axis = 0; axis < 2; axis++) {
        const i = 2 * b + axis;
        noisy[i] = (1 - times[b]) * points[point + axis] + times[b] * noise[i];
        velocity[i] = noise[i] - points[point + axis];
      }
    }
    const activations = this.forward(features(noisy, times), batch);
    const predicted = activations[activations.length - 1];
    let gradient: Float32Array = Float32Array.from(predicted, (value, i) => (value - velocity[i]) / batch);
    const loss = gradient.reduce((total, value) => total + (value * batch) ** 2, 0) / (2 * batch);
    for (let i = this.layers.length - 1; i >= 0; i--) {
      gradient = this.layers[i].backward(activations[2 * i], gradient, batch);
      if (i > 0) multiplyBySlope(gradient, activations[2 * i - 1]);
    }
    this.steps += 1;
    for (const layer of this.layers) layer.update(rate, this.steps);
    return loss;
  }

  /** Returns the velocity at points, all at the same time. */
  velocity(points: Float64Array, time: number): Float64Array {
    const batch = points.length / 2;
    const activations = this.forward(features(points, new Float64Array(batch).fill(time)), batch);
    return Float64Array.from(activations[activations.length - 1]);
  }

  /** Follows the velocity from noise to the drawing, with Heun's method; returns all stations. */
  sample(noise: Float64Array, steps: number): Float64Array[] {
    const stations = [noise];
    for (let step = 0; step < steps; step++) {
      const [now, time, next] = [stations[step], 1 - step / steps, 1 - (step + 1) / steps];
      const slope = this.velocity(now, time);
      const ahead = this.velocity(now.map((value, i) => value - slope[i] / steps), next);
      stations.push(now.map((value, i) => value - (slope[i] + ahead[i]) / (2 * steps)));
    }
    return stations;
  }

  /** Returns the input, and for each layer what it computes, before and after its activation. */
  private forward(x: Float32Array, batch: number): Float32Array[] {
    const activations = [x];
    for (const [i, layer] of this.layers.entries()) {
      const y = layer.forward(activations[activations.length - 1], batch);
      activations.push(y);
      if (i < LAYERS) activations.push(y.map(swish));
    }
    return activations;
  }
}

/** Returns x, y and time with sines and cosines of their multiples, so that edges become sharp. */
function features(points: Float64Array, times: Float64Array): Float32Array {
  const batch = times.length;
  const x = new Float32Array(batch * INPUTS);
  for (let b = 0; b < batch; b++) {
    let column = b * INPUTS;
    for (const value of [points[2 * b], points[2 * b + 1], times[b]]) {
      x[column++] = value;
      for (let frequency = 1; frequency <= FREQUENCIES; frequency++) {
        x[column++] = Math.sin(frequency * value);
        x[column++] = Math.cos(frequency * value);
      }
    }
  }
  return x;
}

function swish(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** Multiplies a gradient by the derivative of `swish` at `x`. */
function multiplyBySlope(gradient: Float32Array, x: Float32Array): void {
  for (let i = 0; i < x.length; i++) {
    const sigmoid = 1 / (1 + Math.exp(-x[i]));
    gradient[i] *= sigmoid * (1 + x[i] * (1 - sigmoid));
  }
}
