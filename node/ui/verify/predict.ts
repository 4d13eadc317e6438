/** Predictions: what is said beforehand about one observed value. */

/** An integer of up to 18 digits, with at most one blank before and after it. */
const NUMBER = " ?(-?[0-9]{1,18}) ?";
const RANGES: [RegExp, (one: bigint, other: bigint, found: bigint) => boolean][] = [
  [new RegExp(`^>=${NUMBER}()$`), (least, _, found) => found >= least],
  [new RegExp(`^<=${NUMBER}()$`), (most, _, found) => found <= most],
  [new RegExp(`^${NUMBER}\\.\\.${NUMBER}$`), (least, most, found) => found >= least && found <= most],
  [new RegExp(`^${NUMBER}\\+-${NUMBER}$`), (middle, by, found) => found >= middle - by && found <= middle + by],
];

/** Whether an observed value is one that was predicted: a number in a range, or exactly the text. */
export function holds(predicted: string, observed: string | undefined): boolean {
  if (observed === undefined) return false;
  for (const [form, isWithin] of RANGES) {
    const match = form.exec(predicted);
    if (match === null) continue;
    const found = new RegExp(`^${NUMBER}$`).exec(observed);
    return found !== null && isWithin(BigInt(match[1] ?? 0), BigInt(match[2] ?? 0), BigInt(found[1] ?? 0));
  }
  return predicted === observed;
}
