/** Random numbers that a seed repeats. They differ from NumPy's for the same seed. */

export type Random = () => number;

/** Returns a generator of uniform numbers in [0, 1): mulberry32, which has 2^32 states. */
export function uniform(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Fills an array with standard normal numbers (Box and Muller 1958). */
export function normal(random: Random, length: number): Float64Array {
  const numbers = new Float64Array(length);
  for (let i = 0; i < length; i += 2) {
    const radius = Math.sqrt(-2 * Math.log(1 - random()));
    const angle = 2 * Math.PI * random();
    numbers[i] = radius * Math.cos(angle);
    if (i + 1 < length) numbers[i + 1] = radius * Math.sin(angle);
  }
  return numbers;
}
