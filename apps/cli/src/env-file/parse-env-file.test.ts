import { describe, expect, it } from "vitest";
import { parseEnvFile } from "./parse-env-file.ts";

const valuesOf = (text: string): Record<string, string> => Object.fromEntries(parseEnvFile(text).values);

describe("parseEnvFile", () => {
  it("reads values, comments, empty lines and both line ends", () => {
    expect(valuesOf("# top\r\nA=1\r\n\n  B=two  # remark\nC=a#b\nD=\n")).toEqual({ A: "1", B: "two", C: "a#b", D: "" });
  });

  it("takes quoted values as they stand", () => {
    expect(valuesOf(`A="x # y"\nB='$z'\nC="" # none\n`)).toEqual({ A: "x # y", B: "$z", C: "" });
  });

  it.each([
    ["export A=1", "line 1 is not NAME=value"],
    ["A: 1", "line 1 is not NAME=value"],
    ["A = 1", "line 1 is not NAME=value"],
    ["\nA=1\nA=2", "A is set twice (line 3)"],
    ['A="x', "A (line 1) has an opening quote and no closing one"],
  ])("refuses %j by line", (text, fault) => {
    expect(parseEnvFile(text).faults).toEqual([fault]);
  });

  it("never repeats a value in a fault", () => {
    expect(parseEnvFile('A="hunter2\nhunter2 hunter2\nB=hunter2\nB=hunter2').faults.join()).not.toContain("hunter2");
  });
});
