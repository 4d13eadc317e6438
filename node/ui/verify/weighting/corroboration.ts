/** Corroboration: how many independent sources say the same. An echo adds nothing. */

/** The weight of so many sources: each further one halves the doubt that is left, up to the fifth. */
export function corroboration(sources: number): number {
  return [0, 500_000, 750_000, 875_000, 937_500, 968_750][Math.min(sources, 5)] ?? 0;
}

/** The fewest sources whose weight reaches the floor; nothing where no number of them does. */
export function sourcesFor(floor: number): number | undefined {
  return [0, 1, 2, 3, 4, 5].find((sources) => corroboration(sources) >= floor);
}

/** For each item the number of its group: items that have a tie in common, directly or by way of others, share one. */
export function groupsOf(ties: string[][]): number[] {
  const members = new Map<string, number[]>();
  for (const [at, names] of ties.entries()) {
    for (const name of names) members.set(name, [...(members.get(name) ?? []), at]);
  }
  const groups: (number | undefined)[] = ties.map(() => undefined);
  let count = 0;
  for (const start of ties.keys()) {
    if (groups[start] !== undefined) continue;
    const open = [start];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (groups[at] !== undefined) continue;
      groups[at] = count;
      for (const name of ties[at] ?? []) {
        open.push(...(members.get(name) ?? []));
        // Looked at once, whoever has it.
        members.delete(name);
      }
    }
    count += 1;
  }
  return groups.map((group) => group ?? 0);
}
