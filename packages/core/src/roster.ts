/**
 * Who is here, where members come and go all the time, such as the requests under way. A `Set` would do but for memory: it makes a
 * new table every few dozen additions, and each table refers to the one after it. Once one has grown old, V8's young collections
 * keep all of the later ones, with what stood in them, until the next full collection.
 */
export class Roster<T> {
  readonly #seats: Seat<T>[] = [];

  get size(): number {
    return this.#seats.length;
  }

  enter(member: T): Seat<T> {
    const seat = { member, index: this.#seats.length };
    this.#seats.push(seat);
    return seat;
  }

  /** False when it has left before. */
  leave(seat: Seat<T>): boolean {
    const { index } = seat;
    if (index === -1) return false;
    seat.index = -1;
    const last = this.#seats.pop();
    if (last && last !== seat) {
      this.#seats[index] = last;
      last.index = index;
    }
    return true;
  }

  /** Those who are here now, in no order; who leaves meanwhile is still in it. */
  members(): T[] {
    return this.#seats.map(({ member }) => member);
  }
}

/** A member's place, with which it leaves. */
export interface Seat<T> {
  readonly member: T;
  /** For the roster alone. */
  index: number;
}
