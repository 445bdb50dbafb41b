export interface Scored {
  readonly member: string;
  readonly score: number;
}

/** One end of a range of scores. */
export interface Bound {
  score: number;
  exclusive: boolean;
}

/** Members in order of score, then of bytes. A sorted array: what we keep in one set is small, and moving memory is fast. */
export class SortedSet {
  readonly #scores = new Map<string, number>();
  readonly #ordered: Scored[] = [];

  get size(): number {
    return this.#ordered.length;
  }

  scoreOf(member: string): number | undefined {
    return this.#scores.get(member);
  }

  set(member: string, score: number): void {
    this.delete(member);
    this.#scores.set(member, score);
    this.#ordered.splice(this.#position(member, score), 0, { member, score });
  }

  delete(member: string): boolean {
    const score = this.#scores.get(member);
    if (score === undefined) return false;
    this.#scores.delete(member);
    this.#ordered.splice(this.#position(member, score), 1);
    return true;
  }

  /** By position; `end` is excluded. */
  slice(start: number, end: number): Scored[] {
    return this.#ordered.slice(start, end);
  }

  /** The positions of a range of scores; `end` is excluded. */
  between(min: Bound, max: Bound): { start: number; end: number } {
    const start = this.#firstWhere(({ score }) => (min.exclusive ? score > min.score : score >= min.score));
    const end = this.#firstWhere(({ score }) => (max.exclusive ? score >= max.score : score > max.score));
    return { start, end: Math.max(start, end) };
  }

  #position(member: string, score: number): number {
    return this.#firstWhere((other) => other.score > score || (other.score === score && other.member >= member));
  }

  /** The first position from which on `holds`, which must not hold before it and not fail after it. */
  #firstWhere(holds: (scored: Scored) => boolean): number {
    let low = 0;
    let high = this.#ordered.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const scored = this.#ordered[middle];
      if (scored && holds(scored)) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
