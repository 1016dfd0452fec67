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

/** Returns a function that returns arrays of standard normal numbers, which the seed repeats. */
export function normals(seed: number): (length: number) => Float64Array {
  const random = uniform(seed);
  return (length) => normal(random, length);
}

/** Returns noise on the way from one seed's to another's (spherical interpolation, Shoemake 1985). */
export function blend(seed: number, otherSeed: number, share: number, length: number): Float64Array {
  const [one, other] = [seed, otherSeed].map((each) => normal(uniform(each), length));
  const dot = one.reduce((total, value, i) => total + value * other[i], 0);
  const angle = Math.acos(dot / (Math.hypot(...one) * Math.hypot(...other)));
  const weights = [Math.sin((1 - share) * angle), Math.sin(share * angle)];
  return one.map((value, i) => (weights[0] * value + weights[1] * other[i]) / Math.sin(angle));
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
