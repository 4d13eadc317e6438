/** Recency: half of the weight is lost with each half-life, in fixed-point numbers with 62 bits behind the point. */

const POINT = 62n;
const ONE = 1n << POINT;
/** Bits of the fraction of a half-life that are taken into account. */
const FRACTION_BITS = 60;

/** The largest whole number whose square is not above this one, by Newton's method from above. */
function root(square: bigint): bigint {
  let guess = 1n << BigInt((square.toString(2).length + 1) >> 1);
  for (;;) {
    const next = (guess + square / guess) >> 1n;
    if (next >= guess) return guess;
    guess = next;
  }
}

/** 2^(-1/2), 2^(-1/4), ...: each the square root of the one before, rounded down. */
const FACTORS: bigint[] = [];
for (let factor = ONE / 2n; FACTORS.length < FRACTION_BITS; ) {
  factor = root(factor << POINT);
  FACTORS.push(factor);
}

/** `2^(-age / halfLife)` in parts per million, rounded down. */
export function recency(age: bigint, halfLife: bigint): number {
  if (age === 0n) return 1_000_000;
  if (halfLife === 0n || age / halfLife > 20n) return 0;
  const fraction = ((age % halfLife) << BigInt(FRACTION_BITS)) / halfLife;
  let value = ONE;
  for (const [at, factor] of FACTORS.entries()) {
    const isSet = ((fraction >> BigInt(FRACTION_BITS - 1 - at)) & 1n) === 1n;
    if (isSet) value = (value * factor) >> POINT;
  }
  return Number(((1_000_000n * value) >> POINT) >> (age / halfLife));
}
