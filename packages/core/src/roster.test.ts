import { expect, it } from "vitest";
import { Roster } from "./roster.ts";

it("knows who is here, in whatever order they leave", () => {
  const roster = new Roster<number>();
  const here = new Set<number>();
  const seats = Array.from({ length: 40 }, (_, member) => {
    here.add(member);
    return roster.enter(member);
  });
  for (const step of [0, 39, 7, 20, 1, 38, 19]) {
    const seat = seats[step];
    expect(seat && roster.leave(seat)).toBe(true);
    expect(seat && roster.leave(seat)).toBe(false);
    here.delete(step);
    const late = 100 + step;
    roster.enter(late);
    here.add(late);
    expect(new Set(roster.members())).toEqual(here);
    expect(roster.size).toBe(here.size);
  }
});
